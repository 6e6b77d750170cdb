-- Included by scripts that move a batch's cursor.

-- Make pairs due while the window has room, at most `most` of them; returns them.
local function advance(batch, now, min_window, most)
  if batch.cursor >= batch.total and redis.call('EXISTS', K.again) == 0 then
    redis.call('ZREM', K.ready, batch.id)
    return {}
  end
  local priority = redis.call('HGET', K.meta, 'priority')
  redis.call('ZADD', K.ready, priority, batch.id)
  local living = redis.call('ZCOUNT', K.workers, '(' .. now, '+inf')
  -- A worker computes one pair, fetches the next and puts the last; a fourth waits for whoever is ready. Batches
  -- of one priority share that: the queue gives back what it was given in the same order, so were each to fill a
  -- window by itself, they would take turns of a window's length.
  local sharers = redis.call('ZCOUNT', K.ready, priority, priority)
  local window = math.ceil(math.max(min_window, 4 * living) / sharers)
  -- A pair that waits out its backoff takes no room, or a handful of bad ones would stall the batch; up to a
  -- bound, so that a fault which strikes every pair does not walk through them all.
  local in_backoff = redis.call('ZCARD', K.backoff)
  local postponed = math.min(in_backoff, 64)
  local room = window - (redis.call('ZCARD', K.due) - postponed) - redis.call('ZCARD', K.leases)
  local pairs_due = {}
  -- Pairs that people want again come before those whose turn has never been.
  local most_again = math.max(0, math.min(room, most))
  for _, pair in ipairs(redis.call('ZRANGEBYSCORE', K.again, '-inf', '+inf', 'LIMIT', 0, most_again)) do
    redis.call('ZREM', K.again, pair)
    redis.call('ZADD', K.due, now, pair)
    pairs_due[#pairs_due + 1] = tonumber(pair)
  end
  local cursor = batch.cursor
  while #pairs_due < math.min(room, most) and cursor < batch.total do
    if redis.call('GETBIT', K.done, cursor) == 1 then
      -- Found done before it ever ran (a ledger rebuilt from the store): jump to the next that is not.
      local clear = redis.call('BITPOS', K.done, 0, cursor, -1, 'BIT')
      cursor = clear >= 0 and clear or 8 * redis.call('STRLEN', K.done)
    else
      redis.call('ZADD', K.due, now, cursor)
      pairs_due[#pairs_due + 1] = cursor
      cursor = cursor + 1
    end
  end
  cursor = math.min(cursor, batch.total)
  if cursor > batch.cursor then
    redis.call('HSET', K.meta, 'cursor', cursor)
    batch.cursor = cursor
  end
  -- A batch that is stuck in its backoffs leaves its share to the others.
  local stuck = in_backoff > postponed and room <= 0
  if stuck or cursor >= batch.total and redis.call('EXISTS', K.again) == 0 then
    redis.call('ZREM', K.ready, batch.id)
  end
  if #pairs_due > 0 then
    event(now, 'batch.advanced', '', string.format('{"pairs":%d,"cursor":%d}', #pairs_due, cursor))
  end
  return pairs_due
end
