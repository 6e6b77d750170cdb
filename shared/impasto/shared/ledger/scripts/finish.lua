-- running -> done, once, however often the pair ran and whoever holds it now.
--
-- include: _clock _batch _settle
-- KEYS    those of _batch.lua
-- ARGV    now_ms, pair, lease_id, busy_ms
-- answer  {counted, batch_finished}, each 0 or 1
-- again   the done bit is set: nothing is counted twice
--
-- The result is in the store, so it counts from any unsettled state: from a holder whose lease ran out, and
-- for a pair that never ran here (a ledger rebuilt from the store). What is settled stays as it is.

local now = clock(ARGV[1])
local pair = ARGV[2]
local batch = read_batch()
if not batch or tonumber(pair) >= batch.total or is_settled(pair) then
  return {0, 0}
end
if batch.state == 'cancelled' and not redis.call('ZSCORE', K.leases, pair) then
  return {0, 0}
end

redis.call('SETBIT', K.done, pair, 1)
if tonumber(ARGV[4]) > 0 then
  redis.call('HINCRBY', K.meta, 'busy_ms', ARGV[4])
  redis.call('HINCRBY', K.meta, 'timed', 1)
end
local data = string.format('{"busy_seconds":%.3f}', tonumber(ARGV[4]) / 1000)
return {1, settle(batch, pair, 'done', now, data) and 1 or 0}
