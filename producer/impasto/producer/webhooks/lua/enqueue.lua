-- An event of the outbox becomes a delivery to one webhook, due now. All deliveries of one event are made in one
-- transaction, and the last takes the event away. Not a command after it: that would also work where the server
-- is out of memory and lets no script write.
--
-- KEYS    outbox (stream), webhooks (hash: id -> JSON), then those of _keys.lua
-- ARGV    now_ms, webhook, entry (id in the outbox), delivery, message (JSON), most (waiting deliveries beyond
--         which it finds no room; 0: it always does), last (1: the event leaves the outbox)
-- answer  1; 0 when the event was taken already, the webhook was removed, or there is no room
-- again   the event is gone, or the delivery is known: 0, and nothing changes

local entry, delivery, most = ARGV[3], ARGV[4], tonumber(ARGV[6])

local function enqueue()
  if #redis.call('XRANGE', KEYS[1], entry, entry) == 0 or redis.call('HEXISTS', KEYS[2], ARGV[2]) == 0 then
    return 0
  end
  if redis.call('HEXISTS', K.messages, delivery) == 1 then
    return 0
  end
  if most > 0 and redis.call('ZCARD', K.due) >= most then
    redis.call('HINCRBY', K.health, 'dropped', 1)
    return 0
  end
  redis.call('HSET', K.messages, delivery, ARGV[5])
  redis.call('ZADD', K.due, clock(ARGV[1]), delivery)
  return 1
end

local answer = enqueue()
if ARGV[7] == '1' then
  redis.call('XDEL', KEYS[1], entry)
end
return answer
