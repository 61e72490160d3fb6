-- name: unreadable
-- What the projection could not take in: a fold of the log leaves it out, too.
SELECT partition, "offset" FROM projection_errors WHERE projection = $1 AND version = $2 AND topic = $3

-- name: page
-- Payments in the order of their ids, each with the first of its offsets.
SELECT payment_id, offsets[1] AS first_offset FROM payments WHERE payment_id > $1 ORDER BY payment_id LIMIT $2
