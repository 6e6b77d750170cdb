-- Included by every script: the time.

-- now_ms as given (tests move time), or the server's own when it is "0".
local function clock(now_ms)
  if now_ms ~= '0' then
    return tonumber(now_ms)
  end
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
