-- Takes a lease of a trial, if fewer than so many are out. KEYS: the leases that are out, by when each ends. ARGV: how
-- many may be out, and for how many milliseconds one is taken. Answers its name, or nothing.
-- A name is a moment in microseconds: a Redis that forgot what it gave does not give it again.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then
    return nil
end
local name = string.format('%.0f', now)
redis.call('ZADD', KEYS[1], now + ARGV[2] * 1000, name)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return name
