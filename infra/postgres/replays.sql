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
-- Where a replay begins, if it has not begun.
INSERT INTO watermarks (projection, version, topic, partition, next_offset)
SELECT $1, $2, $3, new.* FROM unnest($4::int[], $5::bigint[]) AS new
ON CONFLICT DO NOTHING
