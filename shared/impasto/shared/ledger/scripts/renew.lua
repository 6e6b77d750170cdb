-- running -> running: the worker lives, and this far it is; it hears whether to go on.
--
-- include: _clock _batch
-- KEYS    those of _batch.lua
-- ARGV    now_ms, pair, lease_id, ttl_ms, progress (JSON), computing (0: fetched ahead or being put)
-- answer  held, paused, cancelled or lost
-- again   writes the same values, later

local now = clock(ARGV[1])
local pair = ARGV[2]
local batch = read_batch()
if not batch or redis.call('HGET', K.holders, pair) ~= ARGV[3] then
  return 'lost'
end
redis.call('ZADD', K.leases, now + tonumber(ARGV[4]), pair)
redis.call('HSET', K.progress, pair, ARGV[5])
redis.call(ARGV[6] == '1' and 'SREM' or 'SADD', K.beside, pair)
if batch.state == 'cancelled' or batch.state == 'paused' then
  return batch.state
end
return 'held'
