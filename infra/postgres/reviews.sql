-- name: reviews
-- Payments with attempts that a person must decide about, in the order of their ids, and those attempts.
SELECT to_json(p)::text AS payment, waiting.attempts
FROM (
    SELECT payment_id, json_agg(a ORDER BY started_at, attempt_id)::text AS attempts
    FROM attempts AS a
    WHERE in_review AND payment_id > $1
    GROUP BY payment_id
    ORDER BY payment_id
    LIMIT $2
) AS waiting
JOIN payments AS p USING (payment_id)
ORDER BY payment_id
