-- Included by every script that works on one batch: its keys, its numbers, its events.
--
-- KEYS, in the order of keys.py (BATCH_KEYS, then SHARED_KEYS); all carry one hash tag, so one node holds them:
--   meta      hash    id, name, state, priority, total, cursor, done, failed, cancelled, created_ms,
--                     finished_ms, busy_ms, timed (pairs that busy_ms is of), opening, token, and while its
--                     report is written reporter and reporting_until; ms
--   again     zset    pair -> itself; failed pairs that wait for another life, lowest first
--   due       zset    pair -> when its message last went out, or from when it may run; ms
--   backoff   zset    pair -> from when it may run; ms; only postponed pairs whose message is not out again
--   leases    zset    pair -> when the lease runs out; ms
--   holders   hash    pair -> lease id
--   runners   hash    pair -> worker
--   progress  hash    pair -> JSON of the last renewal
--   attempts  hash    pair -> leases given
--   deaths    hash    pair -> leases that ran out while it computed
--   beside    set     leased pairs that do not compute: fetched ahead, or being put
--   suspects  set     pairs whose worker died while they were beside; from then on each death is theirs
--   done      string  bitmap, a bit a pair
--   failures  hash    pair -> JSON {failed_ms, attempts, failure}
--   events    stream  type, pair, at_ms, data
--   active    zset    batch -> when last swept; ms; every batch that has unsettled pairs
--   unreported zset   batch -> from when its missing report may be asked for; ms
--   over      zset    batch -> when its last pair was settled; ms
--   workers   zset    worker -> until when it counts as living; ms
--   wanted    hash    type of event that webhooks want -> how many of them found no room in the outbox
--   outbox    stream  batch, type, pair, at_ms, data; events for webhooks that the courier has not taken yet
--   ready     zset    batch -> its priority; batches that have more pairs than their window had room for
--
-- Only unsettled pairs at or below the cursor have entries in again, due, leases, attempts and the like; of a
-- settled pair a bit or a failure stays. A pair of a cancelled batch that is not done, failed or leased is
-- cancelled.

local K = {}
for i, name in ipairs({
  'meta', 'again', 'due', 'backoff', 'leases', 'holders', 'runners', 'progress', 'attempts', 'deaths', 'beside',
  'suspects', 'done', 'failures', 'events', 'active', 'unreported', 'over', 'workers', 'wanted', 'outbox', 'ready',
}) do
  K[name] = KEYS[i]
end

-- The batch's numbers, or nil when there is no such batch.
local function read_batch()
  local m = redis.call('HMGET', K.meta, 'id', 'state', 'total', 'cursor', 'done', 'failed', 'cancelled')
  if not m[1] then
    return nil
  end
  return {
    id = m[1], state = m[2], total = tonumber(m[3]), cursor = tonumber(m[4]),
    done = tonumber(m[5]), failed = tonumber(m[6]), cancelled = tonumber(m[7]),
  }
end

local function event(now, type, pair, data)
  redis.call('XADD', K.events, 'MAXLEN', '~', 10000, '*',
    'type', type, 'pair', pair, 'at_ms', now, 'data', data)
  if redis.call('HEXISTS', K.wanted, type) == 0 then
    return
  end
  -- Pairs are many: where no courier runs they must not fill the server. A batch's end always finds room.
  if pair ~= '' and redis.call('XLEN', K.outbox) >= 100000 then
    redis.call('HINCRBY', K.wanted, type, 1)
  else
    redis.call('XADD', K.outbox, '*', 'batch', redis.call('HGET', K.meta, 'id'),
      'type', type, 'pair', pair, 'at_ms', now, 'data', data)
  end
end

local function is_settled(pair)
  return redis.call('GETBIT', K.done, pair) == 1 or redis.call('HEXISTS', K.failures, pair) == 1
end
