-- What came of a POST: the delivery was taken, is due again later, or is given up.
--
-- KEYS    those of _keys.lua
-- ARGV    now_ms, delivery, attempt, outcome (taken, again or dead), delay_ms (until it is due again),
--         note (JSON of the answer), quiet_ms (for how long the webhook asked to be left alone),
--         most (taken or dead deliveries that are kept)
-- answer  1; 0 when it was settled already, or is claimed by another, and nothing changes
-- again   it is no longer due, or its claim is over: 0
--
-- A courier whose claim ran out may still say that its delivery was taken: so it was.

local now, delivery, outcome = clock(ARGV[1]), ARGV[2], ARGV[4]
if not redis.call('ZSCORE', K.due, delivery) then
  return 0
end
if outcome ~= 'taken' and redis.call('HGET', K.attempts, delivery) ~= ARGV[3] then
  return 0
end

redis.call('HSET', K.outcomes, delivery, ARGV[6])
redis.call('HSET', K.health, 'last', ARGV[6], 'last_ms', now)
if tonumber(ARGV[7]) > 0 then
  redis.call('HSET', K.health, 'not_before_ms', now + tonumber(ARGV[7]))
end
if outcome == 'taken' then
  redis.call('HSET', K.health, 'failing', 0, 'taken_ms', now)
else
  redis.call('HINCRBY', K.health, 'failing', 1)
end
if outcome == 'again' then
  redis.call('ZADD', K.due, now + tonumber(ARGV[5]), delivery)
  return 1
end

redis.call('HINCRBY', K.health, outcome, 1)
redis.call('ZREM', K.due, delivery)
local kept = outcome == 'taken' and K.delivered or K.dead
redis.call('ZADD', kept, now, delivery)
for _, old in ipairs(redis.call('ZRANGE', kept, 0, -ARGV[8] - 1)) do
  redis.call('ZREM', kept, old)
  redis.call('HDEL', K.messages, old)
  redis.call('HDEL', K.attempts, old)
  redis.call('HDEL', K.outcomes, old)
end
return 1
