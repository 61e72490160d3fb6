-- name: find_checkpoint
-- The watermark and what it is the watermark of, of one moment.
SELECT next_offset, last_stamp_ms, ARRAY(
    SELECT tallies FROM metrics_slices AS s WHERE s.topic = w.topic AND s.partition = w.partition
) AS slices
FROM watermarks AS w
WHERE projection = $1 AND version = $2 AND topic = $3 AND partition = $4

-- name: move_watermark
-- On top of the checkpoint that the writer knows: a row if it is still that one.
UPDATE watermarks SET next_offset = $5, last_stamp_ms = $6, updated_at = now()
WHERE projection = $1 AND version = $2 AND topic = $3 AND partition = $4 AND next_offset = $7
RETURNING 1

-- name: put_watermark
INSERT INTO watermarks (projection, version, topic, partition, next_offset, last_stamp_ms)
VALUES ($1, $2, $3, $4, $5, $6)
ON CONFLICT (projection, version, topic, partition) DO UPDATE SET
    next_offset = EXCLUDED.next_offset, last_stamp_ms = EXCLUDED.last_stamp_ms, updated_at = now()

-- name: drop_slices
DELETE FROM metrics_slices WHERE topic = $1 AND partition = $2

-- name: drop_minutes
DELETE FROM metrics_slices WHERE topic = $1 AND partition = $2 AND minute = ANY ($3::bigint[])

-- name: put_slices
INSERT INTO metrics_slices (topic, partition, minute, tallies)
SELECT $1, $2, minute, tallies FROM unnest($3::bigint[], $4::bytea[]) AS new (minute, tallies)
ON CONFLICT (topic, partition, minute) DO UPDATE SET tallies = EXCLUDED.tallies
