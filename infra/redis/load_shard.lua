-- A watermark, and the buckets that it is the watermark of, of one moment.
--
-- KEYS: the watermark, and the index of buckets. ARGV: what the names of buckets begin with, and the least next offset at
-- which a bucket that is wanted was last written.
-- Answers the watermark ('' for none), then each bucket's number and, as MessagePack: field, value, field, value, ...

local answer = { redis.call('GET', KEYS[1]) or '' }
for _, bucket in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], ARGV[2], '+inf')) do
    answer[#answer + 1] = bucket
    answer[#answer + 1] = cmsgpack.pack(redis.call('HGETALL', ARGV[1] .. bucket))
end
return answer
