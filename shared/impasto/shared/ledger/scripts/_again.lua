-- Included by scripts after which a batch's messages must go out anew.

-- Let the next sweep look at this batch first and publish all that is due in it.
local function publish_again(batch)
  for _, pair in ipairs(redis.call('ZRANGE', K.due, 0, -1)) do
    if not redis.call('ZSCORE', K.backoff, pair) then
      redis.call('ZADD', K.due, 0, pair)
    end
  end
  redis.call('ZADD', K.active, 0, batch.id)
end
