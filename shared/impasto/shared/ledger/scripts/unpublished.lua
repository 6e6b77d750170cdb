-- Due pairs whose messages did not go out after all: the next sweep publishes them.
--
-- include: _batch
-- KEYS    those of _batch.lua
-- ARGV    pair, ... (those that are not due, or wait out their backoff, are passed over)
-- answer  nothing
-- again   they are marked so already: nothing changes

for _, pair in ipairs(ARGV) do
  if not redis.call('ZSCORE', K.backoff, pair) then
    redis.call('ZADD', K.due, 'XX', 0, pair)
  end
end
