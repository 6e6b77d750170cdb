-- The finished batch's report is in the store: nobody is asked for it again, and its events may go in time.
--
-- include: _batch
-- KEYS    those of _batch.lua
-- ARGV    id, events_ttl_seconds
-- answer  nothing
-- again   sets the same expiry, later

redis.call('ZREM', K.unreported, ARGV[1])
if redis.call('HGET', K.meta, 'finished_ms') then
  redis.call('EXPIRE', K.events, ARGV[2])
end
