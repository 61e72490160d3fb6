-- name: known
-- Which of them have a row already: a look at the index, where most have none.
SELECT payment_id FROM payments WHERE payment_id = ANY ($1::text[])

-- name: begin
-- Where a replay begins, if it has not begun.
INSERT INTO watermarks (projection, version, topic, partition, next_offset)
SELECT $1, $2, $3, new.* FROM unnest($4::int[], $5::bigint[]) AS new
ON CONFLICT DO NOTHING

-- name: is_live
-- A database that keys were reserved in.
SELECT EXISTS (SELECT FROM reservations) AS is_live

-- name: commit_at_once
-- What a crash of the server takes, its watermarks go with: it is read again.
SET LOCAL synchronous_commit = off
