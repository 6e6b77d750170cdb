-- waiting -> due: as many pairs as the window has room for, each to be published by the caller.
--
-- include: _clock _batch _advance
-- KEYS    those of _batch.lua
-- ARGV    now_ms, min_window
-- answer  {pair, ...}; empty for a batch that is unknown, paused or over
-- again   the first run has filled the window, so a repeated command answers less or nothing; what the lost
--         answer named is due, and the sweep publishes it

local now = clock(ARGV[1])
local batch = read_batch()
if not batch or batch.state ~= 'active' then
  return {}
end
return advance(batch, now, tonumber(ARGV[2]), batch.total)
