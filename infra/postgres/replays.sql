-- name: take
-- A database is a replay's own if it was empty when a replay took it, and no keys were reserved in it since.
INSERT INTO watermarks (projection, version, topic, partition)
SELECT 'replay', 1, '', 0 WHERE NOT EXISTS (SELECT FROM watermarks)
ON CONFLICT DO NOTHING

-- name: is_ours
SELECT EXISTS (SELECT FROM watermarks WHERE projection = 'replay') AND NOT EXISTS (SELECT FROM reservations) AS is_ours

-- name: is_filled
SELECT EXISTS (SELECT FROM watermarks WHERE projection = 'replay') AS is_filled

-- name: begin
-- Where a replay begins, if it has not begun. Its watermark moves on; the start is kept beside it.
WITH begun AS (
    INSERT INTO watermarks (projection, version, topic, partition, next_offset)
    SELECT $1, $2, $3, new.* FROM unnest($4::int[], $5::bigint[]) AS new
    ON CONFLICT DO NOTHING
    RETURNING *
)
INSERT INTO watermarks (projection, version, topic, partition, next_offset)
SELECT 'replay of ' || projection, version, topic, partition, next_offset FROM begun

-- name: begun
-- One that was begun before starts were kept is known to be whole only from where it has come to.
SELECT reached.partition, coalesce(began.next_offset, reached.next_offset) AS start, reached.next_offset AS reached
FROM watermarks AS reached
LEFT JOIN watermarks AS began
    ON began.projection = 'replay of ' || reached.projection AND began.version = reached.version
    AND began.topic = reached.topic AND began.partition = reached.partition
WHERE reached.projection = $1 AND reached.version = $2 AND reached.topic = $3 AND reached.partition = ANY ($4::int[])
