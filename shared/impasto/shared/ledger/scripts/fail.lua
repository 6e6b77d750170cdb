-- running -> failed, with the reason kept for the report. In a cancelled batch the pair becomes cancelled.
--
-- include: _clock _batch _settle
-- KEYS    those of _batch.lua
-- ARGV    now_ms, pair, lease_id, failure (JSON: kind, message, content, style, attempts)
-- answer  {counted, batch_finished}, each 0 or 1
-- again   the lease is gone: {0, 0}, and nothing changes

local now = clock(ARGV[1])
local pair = ARGV[2]
local batch = read_batch()
if not batch or redis.call('HGET', K.holders, pair) ~= ARGV[3] then
  return {0, 0}
end
local outcome = 'cancelled'
if batch.state ~= 'cancelled' then
  outcome = 'failed'
  keep_failure(pair, now, ARGV[4])
end
return {1, settle(batch, pair, outcome, now, ARGV[4]) and 1 or 0}
