-- Put before every script on one webhook's deliveries: its keys, in the order of ledger/keys.py (WEBHOOK_KEYS),
-- the last of KEYS; all carry the ledger's hash tag.
--   due        zset  delivery -> from when it may be sent, or until when a courier's claim on it holds; ms
--   delivered  zset  delivery -> when it was taken; ms; the latest
--   dead       zset  delivery -> when it was given up; ms; the latest
--   messages   hash  delivery -> JSON {type, batch, pair, created_ms, body}
--   attempts   hash  delivery -> POSTs begun
--   outcomes   hash  delivery -> JSON of what came of the last
--   health     hash  failing (in a row), taken, dead, dropped (for want of room), last (JSON), last_ms, taken_ms,
--                    not_before_ms

local K = {}
for i, name in ipairs({'due', 'delivered', 'dead', 'messages', 'attempts', 'outcomes', 'health'}) do
  K[name] = KEYS[#KEYS - 7 + i]
end
