-- Lets one request of a client through, or not. KEYS: the moment until which the client is busy, in microseconds of this
-- Redis. ARGV: the interval between two requests in microseconds, and how many may come at once. Answers what is left of
-- the burst in microseconds; below zero the request is refused, and the client has that long to wait.

local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval = tonumber(ARGV[1])
local burst = ARGV[2] * interval
local known = tonumber(redis.call('GET', KEYS[1]) or now)
if known < now or known > now + burst then -- further ahead it is of a clock that was set back, or of another limit
    known = now
end
local busy_until = known + interval
local spare = now + burst - busy_until
if spare >= 0 then
    redis.call('SET', KEYS[1], string.format('%.0f', busy_until), 'PX', math.ceil((busy_until - now) / 1000))
end
return spare
