-- Whose turn it is to sweep, and which batches to look at: those not looked at for longest.
--
-- include: _clock
-- KEYS    sweep_turn (string: until when nobody else sweeps; ms), active (zset: batch -> when last swept; ms)
-- ARGV    now_ms, every_ms, most
-- answer  {batch, ...}, or nil when another swept a moment ago
-- again   nil: this round is left out, and the next comes in every_ms

local now, every_ms = clock(ARGV[1]), tonumber(ARGV[2])
local taken_until = tonumber(redis.call('GET', KEYS[1]) or 0)
-- A turn that lies further ahead than one could have been taken comes from a clock that was set back.
if taken_until > now and taken_until <= now + every_ms then
  return nil
end
redis.call('SET', KEYS[1], now + every_ms, 'PX', math.max(1000, 10 * every_ms))
return redis.call('ZRANGE', KEYS[2], 0, ARGV[3] - 1)
