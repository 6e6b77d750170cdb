-- A webhook is added, changed or removed, and the ledger's scripts hear which events are wanted from now on.
--
-- KEYS    webhooks (hash: id -> JSON), wanted (hash: type -> how many found no room in the outbox)
-- ARGV    id, before (JSON as the caller read it; "" for none), after (JSON; "" removes)
-- answer  1; 0 when it was changed meanwhile, and nothing changes
-- again   it is as `after` says already: 1

local id, before, after = ARGV[1], ARGV[2], ARGV[3]
local kept = redis.call('HGET', KEYS[1], id) or ''
if kept ~= after then
  if kept ~= before then
    return 0
  end
  if after == '' then
    redis.call('HDEL', KEYS[1], id)
  else
    redis.call('HSET', KEYS[1], id, after)
  end
end

local wanted = {}
for _, told in ipairs(redis.call('HVALS', KEYS[1])) do
  local webhook = cjson.decode(told)
  if webhook.state ~= 'disabled' then
    for _, type in ipairs(webhook.events) do
      -- The ledger tells one event of a batch's end, whichever it is.
      wanted[type == 'batch.failed' and 'batch.finished' or type] = true
    end
  end
end
for _, type in ipairs(redis.call('HKEYS', KEYS[2])) do
  if not wanted[type] then
    redis.call('HDEL', KEYS[2], type)
  end
end
for type in pairs(wanted) do
  redis.call('HSETNX', KEYS[2], type, 0)
end
return 1
