-- Included by scripts that end a pair's life.

-- The worker lets go of the pair; its attempts and deaths stay counted.
local function release(pair)
  redis.call('ZREM', K.leases, pair)
  redis.call('HDEL', K.holders, pair)
  redis.call('HDEL', K.runners, pair)
  redis.call('HDEL', K.progress, pair)
  redis.call('SREM', K.beside, pair)
end

-- Whether the batch is over now; if so it becomes final and waits for its report.
local function close_if_over(batch, now)
  if batch.done + batch.failed + batch.cancelled < batch.total then
    return false
  end
  if batch.state ~= 'cancelled' then
    batch.state = batch.failed > 0 and 'failed' or 'done'
  end
  redis.call('HSET', K.meta, 'state', batch.state, 'finished_ms', now)
  redis.call('ZREM', K.active, batch.id)
  redis.call('ZREM', K.ready, batch.id)
  redis.call('ZADD', K.unreported, now, batch.id)
  redis.call('ZADD', K.over, now, batch.id)
  event(now, 'batch.finished', '', string.format('{"state":"%s","done":%d,"failed":%d,"cancelled":%d}',
    batch.state, batch.done, batch.failed, batch.cancelled))
  return true
end

-- Count an unsettled pair as done, failed or cancelled and forget all else of it.
-- Returns whether that ended the batch.
local function settle(batch, pair, outcome, now, data)
  release(pair)
  redis.call('ZREM', K.again, pair)
  redis.call('ZREM', K.due, pair)
  redis.call('ZREM', K.backoff, pair)
  redis.call('HDEL', K.attempts, pair)
  redis.call('HDEL', K.deaths, pair)
  redis.call('SREM', K.suspects, pair)
  batch[outcome] = redis.call('HINCRBY', K.meta, outcome, 1)
  event(now, 'pair.' .. outcome, pair, data)
  return close_if_over(batch, now)
end

-- Keep why the pair failed; `failure` is JSON of kind and message, and of content and style where its worker
-- tells them.
local function keep_failure(pair, now, failure)
  redis.call('HSET', K.failures, pair, string.format('{"failed_ms":%.0f,"attempts":%s,"failure":%s}',
    now, redis.call('HGET', K.attempts, pair) or '0', failure))
end
