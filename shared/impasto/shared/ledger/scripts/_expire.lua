-- Included by scripts that find a lease which ran out.

-- Whom the death is counted to: the pair that computed, which alone can have killed its worker by what it is.
-- A pair that was beside it gets its attempt back and is a suspect, since it may have been the one all the
-- same; a suspect runs alone, and its next death is its own. Returns whether it was counted, and the deaths.
local function expire(pair, now)
  local counted = redis.call('SISMEMBER', K.beside, pair) == 0 or redis.call('SISMEMBER', K.suspects, pair) == 1
  if counted then
    redis.call('HINCRBY', K.deaths, pair, 1)
  else
    redis.call('SADD', K.suspects, pair)
    redis.call('HINCRBY', K.attempts, pair, -1)
  end
  local deaths = tonumber(redis.call('HGET', K.deaths, pair) or 0)
  event(now, 'pair.expired', pair, string.format('{"worker":%s,"deaths":%d,"counted":%s}',
    cjson.encode(redis.call('HGET', K.runners, pair) or ''), deaths, tostring(counted)))
  return counted, deaths
end
