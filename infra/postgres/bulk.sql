-- name: known
-- Which of them have a row already: a look at the index, where most have none.
SELECT payment_id FROM payments WHERE payment_id = ANY ($1::text[])

-- name: commit_at_once
-- What a crash of the server takes, its watermarks go with: it is read again.
SET LOCAL synchronous_commit = off
