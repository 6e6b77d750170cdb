-- A batch that is over leaves the ledger, with all that is kept of it.
--
-- include: _batch
-- KEYS    those of _batch.lua, then batches (zset: batch -> created; ms) and, where a token opened the batch, its
--         key (string: batch)
-- ARGV    id
-- answer  1; 0 when the batch is not over, and nothing changes
-- again   there is nothing left: 1

local id, batches, token = ARGV[1], KEYS[23], KEYS[24]
if redis.call('EXISTS', K.meta) == 1 and not redis.call('HGET', K.meta, 'finished_ms') then
  return 0
end
-- A large batch's bitmap is freed in the background.
redis.call('UNLINK', K.meta, K.again, K.due, K.backoff, K.leases, K.holders, K.runners, K.progress, K.attempts,
  K.deaths, K.beside, K.suspects, K.done, K.failures, K.events)
for _, shared in ipairs({K.active, K.unreported, K.over, batches}) do
  redis.call('ZREM', shared, id)
end
if token and redis.call('GET', token) == id then
  redis.call('DEL', token)
end
return 1
