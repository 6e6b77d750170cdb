-- Keep a message that is no pair job, for people to look at; the oldest go first.
--
-- include: _clock
-- KEYS    dead_letters (zset: JSON {reason, raw} -> when it last came; ms)
-- ARGV    now_ms, letter (JSON), most
-- answer  nothing
-- again   the same letter is kept once

local now = clock(ARGV[1])
redis.call('ZADD', KEYS[1], now, ARGV[2])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[3] - 1)
