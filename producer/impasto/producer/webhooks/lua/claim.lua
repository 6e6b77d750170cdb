-- A courier takes the delivery that is due first; nobody else takes it until the claim runs out.
--
-- KEYS    those of _keys.lua
-- ARGV    now_ms, lease_ms
-- answer  {delivery, attempt, message (JSON)}; nil when nothing is due, or the webhook asked to be left alone
-- again   another is taken; the first is due again when its claim runs out

local now = clock(ARGV[1])
if tonumber(redis.call('HGET', K.health, 'not_before_ms') or 0) > now then
  return nil
end
local delivery = redis.call('ZRANGEBYSCORE', K.due, '-inf', now, 'LIMIT', 0, 1)[1]
if not delivery then
  return nil
end
redis.call('ZADD', K.due, now + tonumber(ARGV[2]), delivery)
return {delivery, redis.call('HINCRBY', K.attempts, delivery, 1), redis.call('HGET', K.messages, delivery)}
