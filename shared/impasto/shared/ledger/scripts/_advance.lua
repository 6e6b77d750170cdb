-- Included by scripts that move a batch's cursor.

-- Make pairs due while the window has room, at most `most` of them; returns them.
local function advance(batch, now, min_window, most)
  local living = redis.call('ZCOUNT', K.workers, '(' .. now, '+inf')
  -- A worker computes one pair, fetches the next and puts the last; a fourth waits for whoever is ready.
  local window = math.max(min_window, 4 * living)
  -- A pair that waits out its backoff takes no room, or a handful of bad ones would stall the batch; up to a
  -- bound, so that a fault which strikes every pair does not walk through them all.
  local postponed = math.min(redis.call('ZCARD', K.backoff), 64)
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
  if #pairs_due > 0 then
    event(now, 'batch.advanced', '', string.format('{"pairs":%d,"cursor":%d}', #pairs_due, cursor))
  end
  return pairs_due
end
