-- name: due
-- By gateway, '' for work that asks none. Rows of what somebody owns are put off, and count when they are due again.
SELECT gateway, count(*) AS payments, now_ms() - min(due_at_ms) AS oldest_ms
FROM verifications, (SELECT now_ms() AS now_ms) AS moment
WHERE due_at_ms <= now_ms
GROUP BY gateway

-- name: waiting
-- Each number from a partial index that holds only what is counted.
SELECT unused.messages, unused.oldest_ms AS oldest_message_ms,
    unsettled.payments AS unsettled, unsettled.oldest AS oldest_unsettled, review.payments AS in_review,
    held.charges AS to_give_back, held.oldest_ms AS oldest_to_give_back_ms
FROM (
        SELECT count(*) AS messages, coalesce(now_ms() - min(stamp_ms), 0) AS oldest_ms
        FROM notifications WHERE used_at IS NULL
    ) AS unused,
    (
        SELECT count(*) AS payments, min(payment_id) AS oldest FROM payments
        WHERE status IN ('PENDING_VERIFICATION', 'AWAITING_CUSTOMER', 'NEEDS_REVIEW')
    ) AS unsettled,
    (SELECT count(DISTINCT payment_id) AS payments FROM attempts WHERE in_review) AS review,
    (
        SELECT count(*) AS charges,
            coalesce(now_ms() - (extract(epoch FROM min(started_at)) * 1000)::bigint, 0) AS oldest_ms
        FROM attempts WHERE late = 'give_back' AND compensated_by IS NULL
    ) AS held
