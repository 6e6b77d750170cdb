-- The finished batch's report is in the store: nobody is asked for it again, and its events may go in time.
--
-- include: _batch
-- KEYS    those of _batch.lua
-- ARGV    id, events_ttl_seconds, finished_ms (of the status that the report tells)
-- answer  nothing
-- again   sets the same expiry, later
--
-- A batch that was retried and finished again meanwhile still lacks the report of its new end.

if redis.call('HGET', K.meta, 'finished_ms') == ARGV[3] then
  redis.call('ZREM', K.unreported, ARGV[1])
  redis.call('HDEL', K.meta, 'reporter', 'reporting_until')
  redis.call('EXPIRE', K.events, ARGV[2])
end
