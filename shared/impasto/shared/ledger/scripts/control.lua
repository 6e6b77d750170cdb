-- any -> cancelled, paused, active: what people do to a whole batch.
--
-- include: _clock _batch _again _settle _status
-- KEYS    those of _batch.lua
-- ARGV    now_ms, action (cancel, pause or resume)
-- answer  as status.lua, after the action; nil when there is no such batch
-- again   the batch is in that state already: nothing changes
--
-- Cancelling counts every pair that does not run as cancelled at once; running ones hear of it when they
-- renew. Resuming lets the next sweep publish what is due, whose messages were refused in the pause.

local now, action = clock(ARGV[1]), ARGV[2]
local batch = read_batch()

if not batch then
  return nil
elseif action == 'cancel' and (batch.state == 'active' or batch.state == 'paused') then
  local running = redis.call('ZCARD', K.leases)
  local idle = batch.total - batch.done - batch.failed - running
  batch.state = 'cancelled'
  batch.cancelled = idle
  redis.call('HSET', K.meta, 'state', 'cancelled', 'cancelled', idle)
  redis.call('UNLINK', K.again, K.due, K.backoff)
  redis.call('ZREM', K.ready, batch.id)
  for _, counts in ipairs({K.attempts, K.deaths}) do
    for _, pair in ipairs(redis.call('HKEYS', counts)) do
      if not redis.call('ZSCORE', K.leases, pair) then
        redis.call('HDEL', counts, pair)
      end
    end
  end
  for _, pair in ipairs(redis.call('SMEMBERS', K.suspects)) do
    if not redis.call('ZSCORE', K.leases, pair) then
      redis.call('SREM', K.suspects, pair)
    end
  end
  event(now, 'batch.cancelled', '', string.format('{"cancelled":%d,"running":%d}', idle, running))
  close_if_over(batch, now)
elseif action == 'pause' and batch.state == 'active' then
  redis.call('HSET', K.meta, 'state', 'paused')
  redis.call('ZREM', K.ready, batch.id)
  event(now, 'batch.paused', '', '{}')
elseif action == 'resume' and batch.state == 'paused' then
  redis.call('HSET', K.meta, 'state', 'active')
  publish_again(batch)
  event(now, 'batch.resumed', '', '{}')
end
return status(now)
