-- Object versions to the group that they are submitted with: whoever asks first decides, for each of them.
-- The group's plan, the list of those it won, is kept until the group has been submitted.
--
-- KEYS    plan (string: JSON list; expires), then one an object version (string: group; expires)
-- ARGV    group, ttl_ms, then one an object version: its JSON for the plan
-- answer  the group of each object version, in order
-- again   the group's own claims are found, and the plan is the same

local group, ttl_ms = ARGV[1], ARGV[2]
local groups, won = {}, {}
for i = 2, #KEYS do
  local owner = redis.call('GET', KEYS[i])
  if not owner then
    redis.call('SET', KEYS[i], group, 'PX', ttl_ms)
    owner = group
  end
  if owner == group then
    won[#won + 1] = ARGV[i + 1]
  end
  groups[#groups + 1] = owner
end
if #won > 0 then
  redis.call('SET', KEYS[1], '[' .. table.concat(won, ',') .. ']', 'PX', ttl_ms)
end
return groups
