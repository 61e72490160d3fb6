-- name: orders
-- What was ordered by these payments, as far as the payments' projection has come; a payment without its request has none.
SELECT payment_id, "order"::text AS "order" FROM payments WHERE payment_id = ANY ($1::text[]) AND "order" IS NOT NULL

-- name: add
-- One that is there already, under whatever id, is left as it is: its event was appended twice.
INSERT INTO webhook_deliveries (
    delivery_id, subscription_id, event_id, event_type, subject, merchant_id, body, due_at_ms, given_up_at_ms
)
SELECT delivery_id, subscription_id, event_id, event_type, subject, merchant_id, body, now_ms(), now_ms() + $1::bigint
FROM unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
    AS new (delivery_id, subscription_id, event_id, event_type, subject, merchant_id, body)
ORDER BY subscription_id, event_id
ON CONFLICT DO NOTHING

-- name: claim
-- The longest due of each subscription, as many as there is room for ($2), $4 in all at most, leased for $3 ms. Nobody waits
-- for a lock, and no subscription for another. One moment for all, so that the index ends where nothing is due any more; and
-- only subscriptions that something waits for are looked at, one step of the index each, however many there are.
WITH RECURSIVE moment AS MATERIALIZED (SELECT now_ms() AS now_ms),
waiting AS (
    (SELECT subscription_id FROM webhook_deliveries WHERE status = 'waiting' ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT d.subscription_id FROM webhook_deliveries AS d
        WHERE d.status = 'waiting' AND d.subscription_id > waiting.subscription_id
        ORDER BY d.subscription_id LIMIT 1
    )
    FROM waiting WHERE waiting.subscription_id IS NOT NULL
),
room AS MATERIALIZED (
    SELECT subscription_id, attempts
    FROM unnest($1::text[], $2::int[]) WITH ORDINALITY AS given (subscription_id, attempts, place)
    JOIN waiting USING (subscription_id)
    ORDER BY place
),
due AS MATERIALIZED (
    SELECT of_one.delivery_id
    FROM moment, room, LATERAL (
        SELECT d.delivery_id
        FROM webhook_deliveries AS d
        WHERE d.subscription_id = room.subscription_id AND d.status = 'waiting' AND d.due_at_ms <= moment.now_ms
        ORDER BY d.due_at_ms
        LIMIT room.attempts
        FOR UPDATE SKIP LOCKED
    ) AS of_one
    LIMIT $4
)
UPDATE webhook_deliveries AS d
SET attempts = d.attempts + 1, due_at_ms = now_ms() + $3::bigint, last_attempt_at = now()
FROM due
WHERE d.delivery_id = due.delivery_id
RETURNING d.delivery_id, d.subscription_id, d.event_type, d.body, d.attempts, d.given_up_at_ms - now_ms() AS left_ms

-- name: record
-- What attempts came to; one that is not the newest of its delivery, because its lease had ended, is not heard.
UPDATE webhook_deliveries AS d
SET status = new.status, due_at_ms = now_ms() + new.after_ms, last_result = new.result, last_latency_ms = new.latency_ms,
    dead_because = new.dead_because
FROM unnest($1::text[], $2::int[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::int[])
    AS new (delivery_id, attempt, status, after_ms, dead_because, result, latency_ms)
WHERE d.delivery_id = new.delivery_id AND d.attempts = new.attempt AND d.status = 'waiting'

-- name: give_up
-- What is for a subscription that has ended ($1), at once, and what has waited too long behind a paused endpoint and is not
-- being attempted.
UPDATE webhook_deliveries
SET status = 'dead', dead_because = CASE WHEN subscription_id = ANY ($1::text[]) THEN 'unsubscribed' ELSE 'exhausted' END
WHERE delivery_id IN (
    SELECT delivery_id FROM webhook_deliveries
    WHERE status = 'waiting'
        AND (subscription_id = ANY ($1::text[]) OR (due_at_ms <= now_ms() AND given_up_at_ms <= now_ms()))
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
RETURNING delivery_id

-- name: trim
-- Ids sort by the time of their events: those below $1 that wait for nothing, so many at most.
DELETE FROM webhook_deliveries
WHERE delivery_id IN (
    SELECT delivery_id FROM webhook_deliveries WHERE delivery_id < $1 AND status <> 'waiting' LIMIT $2
)
RETURNING delivery_id

-- name: backlog
-- How many wait, since when the longest due one, and how many are dead.
SELECT count(*) FILTER (WHERE status = 'waiting') AS waiting,
    count(*) FILTER (WHERE status = 'dead') AS dead,
    coalesce(now_ms() - min(due_at_ms) FILTER (WHERE status = 'waiting' AND due_at_ms <= now_ms()), 0) AS oldest_ms
FROM webhook_deliveries
WHERE status IN ('waiting', 'dead')

-- name: page
-- Newest first, from the one before $1 on.
SELECT delivery_id, subscription_id, event_id, event_type, subject, merchant_id, status, attempts, created_at,
    CASE WHEN status = 'waiting' THEN to_timestamp(due_at_ms / 1000.0) END AS next_attempt_at,
    last_attempt_at, last_result, last_latency_ms, dead_because, replays
FROM webhook_deliveries
WHERE delivery_id < $1 AND ($2::text IS NULL OR subscription_id = $2) AND ($3::text IS NULL OR status = $3)
    AND ($4::text IS NULL OR event_type = $4) AND ($5::text IS NULL OR subject = $5)
ORDER BY delivery_id DESC
LIMIT $6

-- name: find
SELECT delivery_id, subscription_id, event_id, event_type, subject, merchant_id, status, attempts, created_at,
    CASE WHEN status = 'waiting' THEN to_timestamp(due_at_ms / 1000.0) END AS next_attempt_at,
    last_attempt_at, last_result, last_latency_ms, dead_because, replays
FROM webhook_deliveries
WHERE delivery_id = $1

-- name: replay
-- From the start of its schedule, under the id that it always had. One that waits is only made due.
UPDATE webhook_deliveries
SET status = 'waiting', due_at_ms = now_ms(), given_up_at_ms = now_ms() + $2::bigint, dead_because = NULL,
    attempts = CASE WHEN status = 'waiting' THEN attempts ELSE 0 END, replays = replays + 1
WHERE delivery_id = $1
RETURNING delivery_id
