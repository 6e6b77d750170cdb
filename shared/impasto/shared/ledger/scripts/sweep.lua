-- running -> due, failed or cancelled for leases that ran out; due again what was postponed until now and what
-- nobody took; waiting -> due while the window has room. One batch, bounded work.
--
-- include: _clock _batch _settle _expire _advance
-- KEYS    those of _batch.lua
-- ARGV    now_ms, stale_ms (after which a due pair is published again), max_deaths, min_window,
--         most (pairs to answer with), failure (JSON: kind and message of a pair that killed its workers),
--         expiring (0: leases that ran out are left alone in this turn), lease_ms and delay_ms (the longest that
--         a lease and a backoff may lie ahead)
-- answer  {{pair, ...} to publish, {pair, ...} failed now}
-- again   what the first run named counts as published now, and goes out again after stale_ms

local now, most = clock(ARGV[1]), tonumber(ARGV[5])
local publish, failed = {}, {}
local batch = read_batch()
if not batch then
  return {publish, failed}
end
redis.call('ZADD', K.active, 'XX', now, batch.id)

local function make_due(pair)
  redis.call('ZREM', K.backoff, pair)
  redis.call('ZADD', K.due, now, pair)
  if batch.state == 'active' then
    publish[#publish + 1] = tonumber(pair)
  end
end

-- What lies further ahead than it could have been set comes from a clock that was set back since.
local function draw_back(key, latest)
  for _, pair in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. latest, '+inf', 'LIMIT', 0, most)) do
    redis.call('ZADD', key, latest, pair)
  end
end
draw_back(K.leases, now + tonumber(ARGV[8]))
draw_back(K.backoff, now + tonumber(ARGV[9]))
draw_back(K.due, now + tonumber(ARGV[9]))

local most_expired = ARGV[7] == '1' and most or 0
for _, pair in ipairs(redis.call('ZRANGEBYSCORE', K.leases, '-inf', now, 'LIMIT', 0, most_expired)) do
  local counted, deaths = expire(pair, now)
  if batch.state == 'cancelled' then
    settle(batch, pair, 'cancelled', now, '{"reason":"its worker died"}')
  elseif counted and deaths >= tonumber(ARGV[3]) then
    keep_failure(pair, now, ARGV[6])
    settle(batch, pair, 'failed', now, ARGV[6])
    failed[#failed + 1] = tonumber(pair)
  else
    release(pair)
    make_due(pair)
  end
end

if batch.state == 'active' then
  for _, pair in ipairs(redis.call('ZRANGEBYSCORE', K.backoff, '-inf', now, 'LIMIT', 0, most - #publish)) do
    make_due(pair)
  end
  local stale = now - tonumber(ARGV[2])
  for _, pair in ipairs(redis.call('ZRANGEBYSCORE', K.due, '-inf', stale, 'LIMIT', 0, most - #publish)) do
    make_due(pair)
  end
  for _, pair in ipairs(advance(batch, now, tonumber(ARGV[4]), most - #publish)) do
    publish[#publish + 1] = pair
  end
end
return {publish, failed}
