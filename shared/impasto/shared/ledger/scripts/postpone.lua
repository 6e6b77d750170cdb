-- running -> due after a delay: backoff after a passing fault, or a pair handed back. In a cancelled batch the
-- pair becomes cancelled instead.
--
-- include: _clock _batch _settle
-- KEYS    those of _batch.lua
-- ARGV    now_ms, pair, lease_id, delay_ms, give_back (0 or 1: whether the attempt is returned),
--         data (JSON for the event)
-- answer  1, or 0 when the caller does not hold the pair
-- again   the lease is gone: 0, and nothing changes

local now = clock(ARGV[1])
local pair, delay_ms = ARGV[2], tonumber(ARGV[4])
local batch = read_batch()
if not batch or redis.call('HGET', K.holders, pair) ~= ARGV[3] then
  return 0
end
if batch.state == 'cancelled' then
  settle(batch, pair, 'cancelled', now, ARGV[6])
  return 1
end

release(pair)
if ARGV[5] == '1' then
  redis.call('HINCRBY', K.attempts, pair, -1)
end
redis.call('ZADD', K.due, now + delay_ms, pair)
if delay_ms > 0 then
  redis.call('ZADD', K.backoff, now + delay_ms, pair)
end
event(now, 'pair.postponed', pair, ARGV[6])
return 1
