-- A batch in numbers; a few look-ups, however large it is.
--
-- include: _clock _batch _status
-- KEYS    those of _batch.lua
-- ARGV    now_ms
-- answer  {name, state, priority, total, done, failed, cancelled, created_ms, finished_ms ("" while not over),
--         busy_ms, timed, due, running, workers}; nil when there is no such batch
-- again   it writes nothing

return status(clock(ARGV[1]))
