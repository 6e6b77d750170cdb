-- A batch gets another priority; what is due in it is published again, since its messages carry the old one.
--
-- include: _clock _batch _again _status
-- KEYS    those of _batch.lua
-- ARGV    now_ms, priority
-- answer  as status.lua, after the change; nil when there is no such batch
-- again   the batch has that priority already: nothing changes
--
-- The old messages stay: whichever of two comes second is refused. A batch of which nothing will start any
-- more keeps its priority.

local now, priority = clock(ARGV[1]), ARGV[2]
local batch = read_batch()
if not batch then
  return nil
end
local open = batch.state == 'active' or batch.state == 'paused'
if open and redis.call('HGET', K.meta, 'priority') ~= priority then
  redis.call('HSET', K.meta, 'priority', priority)
  redis.call('ZADD', K.ready, 'XX', priority, batch.id)
  publish_again(batch)
  event(now, 'batch.prioritised', '', string.format('{"priority":%s}', priority))
end
return status(now)
