-- A worker lives; those that have long been silent are forgotten.
--
-- include: _clock
-- KEYS    workers (zset: worker -> until when it counts as living; ms), worker_info (hash: worker -> JSON)
-- ARGV    now_ms, worker, ttl_ms, info (JSON)
-- answer  nothing
-- again   writes the same values, later

local now = clock(ARGV[1])
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now)) do
  redis.call('ZREM', KEYS[1], dead)
  redis.call('HDEL', KEYS[2], dead)
end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
redis.call('HSET', KEYS[2], ARGV[2], string.format('{"seen_ms":%.0f,"info":%s}', now, ARGV[4]))
