-- Batches that have been over for longer than they are kept, longest first.
--
-- include: _clock
-- KEYS    over (zset: batch -> when its last pair was settled; ms)
-- ARGV    now_ms, keep_ms, most
-- answer  {batch, ...}
-- again   it writes nothing

return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', clock(ARGV[1]) - tonumber(ARGV[2]), 'LIMIT', 0, ARGV[3])
