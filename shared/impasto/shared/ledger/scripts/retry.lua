-- failed -> waiting: pairs get another life, their attempts and deaths counted anew. A finished batch becomes
-- active again; a cancelled one stays as it is.
--
-- include: _clock _batch
-- KEYS    those of _batch.lua
-- ARGV    now_ms, pair, ... (those that are not failed are passed over)
-- answer  how many pairs were moved; nil when there is no such batch
-- again   they are failed no longer: 0, and nothing changes

local now = clock(ARGV[1])
local batch = read_batch()
if not batch then
  return nil
elseif batch.state == 'cancelled' then
  return 0
end

local moved = 0
for i = 2, #ARGV do
  local pair = ARGV[i]
  if redis.call('HDEL', K.failures, pair) == 1 then
    redis.call('ZADD', K.again, pair, pair)
    event(now, 'pair.retried', pair, '{}')
    moved = moved + 1
  end
end
if moved > 0 then
  redis.call('HINCRBY', K.meta, 'failed', -moved)
  if batch.state == 'failed' then
    redis.call('HSET', K.meta, 'state', 'active')
    redis.call('HDEL', K.meta, 'finished_ms', 'reporter', 'reporting_until')
    redis.call('ZREM', K.unreported, batch.id)
    redis.call('ZREM', K.over, batch.id)
    redis.call('PERSIST', K.events)
  end
  redis.call('ZADD', K.active, 0, batch.id)
  event(now, 'batch.retried', '', string.format('{"pairs":%d}', moved))
end
return moved
