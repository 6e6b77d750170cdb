-- A worker writes a finished batch's report, or goes on with it: for a while nobody else is asked to.
--
-- include: _clock _batch
-- KEYS    those of _batch.lua
-- ARGV    now_ms, id, reporter, ttl_ms
-- answer  1; 0 when another reporter's time is not over, or when no report is missing
-- again   the same reporter's time begins anew

local now, id, reporter = clock(ARGV[1]), ARGV[2], ARGV[3]
if not redis.call('ZSCORE', K.unreported, id) then
  return 0
end
local m = redis.call('HMGET', K.meta, 'reporter', 'reporting_until')
if m[1] and m[1] ~= reporter and tonumber(m[2]) > now then
  return 0
end
local until_ms = now + tonumber(ARGV[4])
redis.call('HSET', K.meta, 'reporter', reporter, 'reporting_until', until_ms)
redis.call('ZADD', K.unreported, until_ms, id)
return 1
