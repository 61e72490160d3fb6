-- name: lock
-- In one order for everybody, so that two workers in the middle of a rebalance cannot wait for each other. None of them
-- while one is missing: whoever adds a row may wait for another who adds it too, and must hold nothing then. The partitions
-- are distinct.
SELECT partition, next_offset, last_stamp_ms, generation
FROM watermarks
WHERE projection = $1 AND version = $2 AND topic = $3 AND partition = ANY ($4::int[])
    AND (
        SELECT count(*) FROM watermarks
        WHERE projection = $1 AND version = $2 AND topic = $3 AND partition = ANY ($4::int[])
    ) = cardinality($4::int[])
ORDER BY partition
FOR UPDATE

-- name: add
-- Those that are not there, in the same order.
INSERT INTO watermarks (projection, version, topic, partition)
SELECT $1, $2, $3, partition FROM unnest($4::int[]) AS partition ORDER BY partition
ON CONFLICT DO NOTHING

-- name: move
UPDATE watermarks AS w
SET next_offset = new.next_offset, last_stamp_ms = new.last_stamp_ms, updated_at = now()
FROM unnest($4::int[], $5::bigint[], $6::bigint[]) AS new (partition, next_offset, last_stamp_ms)
WHERE w.projection = $1 AND w.version = $2 AND w.topic = $3 AND w.partition = new.partition

-- name: all_of
SELECT topic, partition, next_offset, last_stamp_ms, updated_at FROM watermarks WHERE projection = $1 AND version = $2
