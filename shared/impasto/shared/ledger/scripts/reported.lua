-- The finished batch's report is in the store: nobody is asked for it again, and its events may go in time.
--
-- include: _clock _batch
-- KEYS    those of _batch.lua
-- ARGV    now_ms, id, events_ttl_seconds, finished_ms (of the status that the report tells)
-- answer  nothing
-- again   sets the same expiry, later
--
-- A batch that was retried and finished again meanwhile lacks the report of its new end, and where that was
-- written before this one came, it has just been written over.

local now, id = clock(ARGV[1]), ARGV[2]
local finished_ms = redis.call('HGET', K.meta, 'finished_ms')
if finished_ms == ARGV[4] then
  redis.call('ZREM', K.unreported, id)
  redis.call('HDEL', K.meta, 'reporter', 'reporting_until')
  redis.call('EXPIRE', K.events, ARGV[3])
elseif finished_ms and not redis.call('ZSCORE', K.unreported, id) then
  redis.call('ZADD', K.unreported, now, id)
end
