-- Living workers, and what each last told of itself.
--
-- include: _clock
-- KEYS    workers (zset: worker -> until when it counts as living; ms), worker_info (hash: worker -> JSON)
-- ARGV    now_ms
-- answer  {worker, JSON, worker, JSON, ...}
-- again   it writes nothing

local now = clock(ARGV[1])
local answer = {}
for _, worker in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. now, '+inf')) do
  answer[#answer + 1] = worker
  answer[#answer + 1] = redis.call('HGET', KEYS[2], worker)
end
return answer
