-- Finished batches whose report nobody has written yet; each is named again after a while.
--
-- include: _clock
-- KEYS    unreported (zset: batch -> from when its missing report may be asked for; ms)
-- ARGV    now_ms, again_ms, most
-- answer  {batch, ...}
-- again   they were named to nobody: they are named again after again_ms

local now = clock(ARGV[1])
local batches = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, ARGV[3])
for _, batch in ipairs(batches) do
  redis.call('ZADD', KEYS[1], now + tonumber(ARGV[2]), batch)
end
return batches
