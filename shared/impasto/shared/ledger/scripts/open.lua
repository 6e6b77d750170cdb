-- nothing -> waiting: a batch becomes visible, whole, at a cost that does not grow with it.
--
-- include: _clock _batch
-- KEYS    those of _batch.lua, then batches (zset: batch -> created; ms) and, where there is a token, its key
--         (string: batch; expires)
-- ARGV    now_ms, id, total, name, priority, opening (unique to this call), token_ttl_ms, token (or "")
-- answer  {id, created}: the earlier batch and 0 when the token or the id was there already
-- again   a repeated command finds its own `opening` and answers as it did the first time

local now = clock(ARGV[1])
local id, opening = ARGV[2], ARGV[6]
local batches, token = KEYS[23], KEYS[24]

if token then
  local earlier = redis.call('GET', token)
  if earlier and earlier ~= id then
    return {earlier, 0}
  end
end
local known = redis.call('HGET', K.meta, 'opening')
if known then
  return {id, known == opening and 1 or 0}
end

redis.call('HSET', K.meta, 'id', id, 'name', ARGV[4], 'state', 'active', 'priority', ARGV[5],
  'total', ARGV[3], 'cursor', 0, 'done', 0, 'failed', 0, 'cancelled', 0,
  'created_ms', now, 'busy_ms', 0, 'timed', 0, 'opening', opening, 'token', ARGV[8])
redis.call('ZADD', batches, now, id)
redis.call('ZADD', K.active, 0, id)
if token then
  redis.call('SET', token, id, 'PX', ARGV[7])
end
event(now, 'batch.opened', '', string.format('{"total":%s,"priority":%s,"name":%s}',
  ARGV[3], ARGV[5], cjson.encode(ARGV[4])))
return {id, 1}
