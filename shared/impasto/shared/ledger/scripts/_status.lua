-- Included by scripts that answer with a batch's numbers.

local function status(now)
  local m = redis.call('HMGET', K.meta, 'name', 'state', 'priority', 'total', 'done', 'failed', 'cancelled',
    'created_ms', 'finished_ms', 'busy_ms', 'timed')
  if not m[1] then
    return nil
  end
  m[9] = m[9] or ''
  m[12] = redis.call('ZCARD', K.due)
  m[13] = redis.call('ZCARD', K.leases)
  m[14] = redis.call('ZCOUNT', K.workers, '(' .. now, '+inf')
  return m
end
