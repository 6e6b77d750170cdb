-- Deliveries go out anew: dead and delivered ones with new attempts, waiting ones without waiting longer.
--
-- KEYS    those of _keys.lua
-- ARGV    now_ms, delivery, ... (those that are unknown are passed over)
-- answer  how many
-- again   they are due already, and stay so

local now, revived = clock(ARGV[1]), 0
redis.call('HDEL', K.health, 'not_before_ms')
for i = 2, #ARGV do
  local delivery = ARGV[i]
  if redis.call('HEXISTS', K.messages, delivery) == 1 then
    if redis.call('ZREM', K.dead, delivery) + redis.call('ZREM', K.delivered, delivery) > 0 then
      redis.call('HDEL', K.attempts, delivery)
    end
    redis.call('ZADD', K.due, now, delivery)
    revived = revived + 1
  end
end
return revived
