-- Whose turn it is to sweep, which batches to look at (those not looked at for longest), and whether leases that
-- ran out may be taken for dead workers' yet.
--
-- include: _clock
-- KEYS    sweep (hash: until, before which nobody else sweeps; last, when somebody did; since, from when on
--         turns have followed each other; ms), active (zset: batch -> when last swept; ms)
-- ARGV    now_ms, every_ms, most
-- answer  {expiring (0 or 1), {batch, ...}}, or nil when another swept a moment ago
-- again   nil: this round is left out, and the next comes in every_ms
--
-- Where no turn was taken for a while the server was away, or everything slept, and leases ran out that nobody
-- could renew. Living workers get three turns' time to do it now.

local now, every_ms = clock(ARGV[1]), tonumber(ARGV[2])
local told = redis.call('HMGET', KEYS[1], 'until', 'last', 'since')
local taken_until, last, since = tonumber(told[1] or 0), tonumber(told[2] or 0), tonumber(told[3] or 0)
-- A turn that lies further ahead than one could have been taken comes from a clock that was set back.
if taken_until > now and taken_until <= now + every_ms then
  return nil
end
if now - last > 3 * every_ms or last > now then
  since = now
end
redis.call('HSET', KEYS[1], 'until', now + every_ms, 'last', now, 'since', since)
redis.call('PEXPIRE', KEYS[1], math.max(1000, 10 * every_ms))
return {now - since >= 3 * every_ms and 1 or 0, redis.call('ZRANGE', KEYS[2], 0, ARGV[3] - 1)}
