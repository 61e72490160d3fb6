-- Writes tallies and the watermark that counts them, if the watermark there is the one that the writer knows.
--
-- KEYS: the watermark, and the index of buckets. Buckets are of the same slot, being of the same hash tag.
-- ARGV: what their names begin with; the next offset that is expected there ('' for none); the new watermark, and its
-- next offset; 1 to write everything anew; the buckets that leave (MessagePack); then for each bucket that changed its
-- number, what to set (MessagePack: field, value, field, value, ...) and which fields to delete (MessagePack).
-- Answers 'expected' when it has written, else what it found: 'none' or 'another'.

local MOST = 4000 -- arguments of one command: Lua's stack holds twice as many

local prefix, expected, watermark, next_offset = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local found = redis.call('GET', KEYS[1])
local offset = found and string.match(found, '^%d+') or ''
if offset ~= expected then
    return offset == '' and 'none' or 'another'
end

local function in_parts(command, key, words)
    for first = 1, #words, MOST do
        redis.call(command, key, unpack(words, first, math.min(first + MOST - 1, #words)))
    end
end

local left = cmsgpack.unpack(ARGV[6])
if ARGV[5] == '1' then
    left = redis.call('ZRANGE', KEYS[2], 0, -1)
end
for _, bucket in ipairs(left) do
    redis.call('DEL', prefix .. bucket)
    redis.call('ZREM', KEYS[2], bucket)
end
for argument = 7, #ARGV, 3 do
    in_parts('HSET', prefix .. ARGV[argument], cmsgpack.unpack(ARGV[argument + 1]))
    in_parts('HDEL', prefix .. ARGV[argument], cmsgpack.unpack(ARGV[argument + 2]))
    redis.call('ZADD', KEYS[2], next_offset, ARGV[argument])
end
redis.call('SET', KEYS[1], watermark)
return 'expected'
