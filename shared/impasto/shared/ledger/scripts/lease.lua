-- due -> running: one worker gets the pair, and the attempt is counted before it computes.
--
-- include: _clock _batch _expire
-- KEYS    those of _batch.lua
-- ARGV    now_ms, pair, worker, lease_id, ttl_ms, computing (0: fetched ahead, while another computes)
-- answer  {"leased", attempt, deaths, suspect (0 or 1), priority} or {refusal}
-- again   the same lease_id renews and counts nothing

local now = clock(ARGV[1])
local pair, worker, lease_id = ARGV[2], ARGV[3], ARGV[4]
local expires = now + tonumber(ARGV[5])

-- The answer of one who holds the pair.
local function leased()
  return {'leased', tonumber(redis.call('HGET', K.attempts, pair) or 1),
    tonumber(redis.call('HGET', K.deaths, pair) or 0), redis.call('SISMEMBER', K.suspects, pair),
    tonumber(redis.call('HGET', K.meta, 'priority'))}
end

local batch = read_batch()
if not batch or tonumber(pair) >= batch.total then
  return {'unknown'}
end
if is_settled(pair) then
  return {'settled'}
end
local leased_until = redis.call('ZSCORE', K.leases, pair)
if leased_until and redis.call('HGET', K.holders, pair) == lease_id then
  redis.call('ZADD', K.leases, expires, pair)
  return leased()
end
if batch.state == 'cancelled' then
  return {'cancelled'}
end
if tonumber(pair) >= batch.cursor then
  return {'unknown'}
end
if batch.state == 'paused' then
  return {'paused'}
end
if redis.call('ZSCORE', K.again, pair) then
  return {'not_yet'}
end
if leased_until and tonumber(leased_until) > now then
  return {'running'}
end
local not_before = redis.call('ZSCORE', K.backoff, pair)
if not_before and tonumber(not_before) > now then
  return {'not_yet'}
end

if leased_until then
  expire(pair, now)
end
redis.call('ZREM', K.due, pair)
redis.call('ZREM', K.backoff, pair)
redis.call('ZADD', K.leases, expires, pair)
redis.call('HSET', K.holders, pair, lease_id)
redis.call('HSET', K.runners, pair, worker)
redis.call('HDEL', K.progress, pair)
redis.call(ARGV[6] == '1' and 'SREM' or 'SADD', K.beside, pair)
local attempt = redis.call('HINCRBY', K.attempts, pair, 1)
local deaths = tonumber(redis.call('HGET', K.deaths, pair) or 0)
event(now, 'pair.leased', pair, string.format('{"worker":%s,"attempt":%d,"deaths":%d}',
  cjson.encode(worker), attempt, deaths))
return leased()
