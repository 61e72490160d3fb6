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
-- The longest due of each of these subscriptions ($1), leased to $6 for $3 ms, $4 in all at most. Of each so many that $2 are under
-- way with those that are already, whoever claimed them; of one that was paused, one. Nobody waits for a lock, and no
-- subscription for another. One moment for all, so that the index ends where nothing is due any more; and only subscriptions
-- that something waits for are looked at, one step of the index each, however many there are. Of those that have something to
-- send, each is one claimant's at a time, until its claim is committed; leases are counted after that, by a function that sees
-- what was committed meanwhile. Every claim that is not reported on makes the pause after the next twice as long, and what
-- would be claimed once more than $5 times is given up.
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
ready AS MATERIALIZED (
    SELECT subscription_id, endpoint.paused_until_ms IS NOT NULL AS was_paused
    FROM moment, waiting LEFT JOIN webhook_endpoints AS endpoint USING (subscription_id), LATERAL (
        SELECT FROM webhook_deliveries AS d
        WHERE d.subscription_id = waiting.subscription_id AND d.status = 'waiting' AND d.due_at_ms <= moment.now_ms
        ORDER BY d.due_at_ms
        LIMIT 1
    ) AS something
    WHERE subscription_id = ANY ($1::text[]) AND coalesce(endpoint.paused_until_ms, 0) <= moment.now_ms
),
mine AS MATERIALIZED (
    SELECT subscription_id, was_paused FROM ready
    WHERE pg_try_advisory_xact_lock(hashtextextended('webhook_endpoints ' || subscription_id, 0))
),
room AS MATERIALIZED (
    SELECT subscription_id, greatest(0, CASE WHEN was_paused THEN 1 ELSE $2::int END - leases) AS attempts
    FROM (SELECT subscription_id, was_paused, webhook_leases(subscription_id) AS leases FROM mine OFFSET 0) AS counted
    ORDER BY leases
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
SET status = CASE WHEN d.unreported < $5::int THEN 'waiting' ELSE 'dead' END,
    dead_because = CASE WHEN d.unreported < $5::int THEN NULL ELSE 'unreported' END,
    unreported = d.unreported + 1,
    leased_until_ms = now_ms() + $3::bigint,
    leased_by = $6,
    due_at_ms = now_ms() + ($3::bigint << d.unreported)
FROM due
WHERE d.delivery_id = due.delivery_id
RETURNING d.delivery_id, d.subscription_id, d.event_type, d.merchant_id, d.status, d.attempts + 1 AS attempt, d.unreported AS claim,
    d.given_up_at_ms - now_ms() AS left_ms,
    -- The merchant's own id of the customer, while the vault has it. Nothing but our own encoder writes this name so.
    coalesce(
        (
            SELECT replace(d.body, '"customer_id":"' || v.token || '"', '"customer_id":"' || v.customer_id || '"')
            FROM vault.customers AS v
            WHERE v.token = substring(d.body FROM '"customer_id":"(cus~[0-9a-z]{26})"')
        ),
        d.body
    ) AS body

-- name: free
-- Whoever begins under this name is at nothing yet. What it had claimed is due when it was, and holds no place until then.
UPDATE webhook_deliveries SET leased_until_ms = NULL
WHERE status = 'waiting' AND leased_until_ms IS NOT NULL AND leased_by = $1

-- name: record
-- What attempts came to; one that is not the newest of its delivery, because its lease had ended, is not heard.
UPDATE webhook_deliveries AS d
SET status = new.status, due_at_ms = now_ms() + new.after_ms, attempts = new.attempt, unreported = 0, leased_until_ms = NULL,
    last_attempt_at = now(), last_result = new.result, last_latency_ms = new.latency_ms, dead_because = new.dead_because
FROM unnest($1::text[], $2::int[], $3::int[], $4::text[], $5::bigint[], $6::text[], $7::text[], $8::int[])
    AS new (delivery_id, attempt, claim, status, after_ms, dead_because, result, latency_ms)
WHERE d.delivery_id = new.delivery_id AND d.status = 'waiting' AND d.attempts + 1 = new.attempt AND d.unreported = new.claim

-- name: circuits
-- Of those endpoints that are not known to be well; nobody else learns of them meanwhile.
SELECT subscription_id, failures, paused_until_ms - now_ms() AS left_ms, pause_ms
FROM webhook_endpoints
WHERE subscription_id = ANY ($1::text[])
ORDER BY subscription_id
FOR UPDATE

-- name: learn
INSERT INTO webhook_endpoints (subscription_id, failures, paused_until_ms, pause_ms)
SELECT subscription_id, failures, now_ms() + left_ms, pause_ms
FROM unnest($1::text[], $2::int[], $3::bigint[], $4::int[]) AS new (subscription_id, failures, left_ms, pause_ms)
ORDER BY subscription_id
ON CONFLICT (subscription_id) DO UPDATE
SET failures = EXCLUDED.failures, paused_until_ms = EXCLUDED.paused_until_ms, pause_ms = EXCLUDED.pause_ms

-- name: forget
DELETE FROM webhook_endpoints WHERE subscription_id = ANY ($1::text[])

-- name: give_up_unwanted
UPDATE webhook_deliveries
SET status = 'dead', dead_because = 'unwanted', unreported = 0, leased_until_ms = NULL
WHERE delivery_id = $1 AND status = 'waiting'

-- name: give_up_ended
-- What is for a subscription that has ended ($1), at once.
UPDATE webhook_deliveries
SET status = 'dead', dead_because = 'unsubscribed'
WHERE delivery_id IN (
    SELECT delivery_id FROM webhook_deliveries
    WHERE status = 'waiting' AND subscription_id = ANY ($1::text[])
    LIMIT $2
    FOR UPDATE SKIP LOCKED
)
RETURNING delivery_id

-- name: give_up_overdue
-- What has waited too long, and is not being attempted.
UPDATE webhook_deliveries
SET status = 'dead', dead_because = 'exhausted'
WHERE delivery_id IN (
    SELECT delivery_id FROM webhook_deliveries
    WHERE status = 'waiting' AND given_up_at_ms <= (SELECT now_ms()) AND due_at_ms <= (SELECT now_ms())
    ORDER BY given_up_at_ms
    LIMIT $1
    FOR UPDATE SKIP LOCKED
)
RETURNING delivery_id

-- name: give_up_crowded
-- Of each subscription that more than $1 wait for, those that have been due longest: what is being attempted is due last. Two
-- who do this at once choose the same ones, and the second finds them given up.
WITH RECURSIVE waiting AS (
    (SELECT subscription_id FROM webhook_deliveries WHERE status = 'waiting' ORDER BY subscription_id LIMIT 1)
    UNION ALL
    SELECT (
        SELECT d.subscription_id FROM webhook_deliveries AS d
        WHERE d.status = 'waiting' AND d.subscription_id > waiting.subscription_id
        ORDER BY d.subscription_id LIMIT 1
    )
    FROM waiting WHERE waiting.subscription_id IS NOT NULL
),
crowd AS MATERIALIZED (
    SELECT subscription_id, (
        SELECT count(*) FROM webhook_deliveries AS d
        WHERE d.status = 'waiting' AND d.subscription_id = waiting.subscription_id
    ) - $1::bigint AS beyond
    FROM waiting WHERE subscription_id IS NOT NULL
),
chosen AS MATERIALIZED (
    SELECT of_one.delivery_id
    FROM crowd, LATERAL (
        SELECT d.delivery_id FROM webhook_deliveries AS d
        WHERE d.subscription_id = crowd.subscription_id AND d.status = 'waiting'
        ORDER BY d.due_at_ms
        LIMIT greatest(0, crowd.beyond)
    ) AS of_one
    LIMIT $2
)
UPDATE webhook_deliveries AS d
SET status = 'dead', dead_because = 'backlog'
FROM chosen
WHERE d.delivery_id = chosen.delivery_id AND d.status = 'waiting'
RETURNING d.delivery_id

-- name: trim
-- Ids sort by the time of their events: those below $1 that wait for nothing, so many at most.
DELETE FROM webhook_deliveries
WHERE delivery_id IN (
    SELECT delivery_id FROM webhook_deliveries WHERE delivery_id < $1 AND status <> 'waiting' ORDER BY delivery_id LIMIT $2
)
RETURNING delivery_id

-- name: backlog
-- How many wait, since when the longest due one, how many are dead, and how many endpoints are left alone.
SELECT count(*) FILTER (WHERE status = 'waiting') AS waiting,
    count(*) FILTER (WHERE status = 'dead') AS dead,
    coalesce(now_ms() - min(due_at_ms) FILTER (WHERE status = 'waiting' AND due_at_ms <= now_ms()), 0) AS oldest_ms,
    (SELECT count(*) FROM webhook_endpoints WHERE paused_until_ms IS NOT NULL) AS endpoints_paused
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

-- name: dead_of
-- Of a subscription ($1), the oldest first, from the one after $2 on.
SELECT delivery_id FROM webhook_deliveries
WHERE subscription_id = $1 AND status = 'dead' AND delivery_id > $2
ORDER BY delivery_id
LIMIT $3

-- name: replay
-- From the start of its schedule, under the id that it always had. One that waits is only made due.
UPDATE webhook_deliveries
SET status = 'waiting', due_at_ms = now_ms(), given_up_at_ms = now_ms() + $2::bigint, dead_because = NULL,
    attempts = CASE WHEN status = 'waiting' THEN attempts ELSE 0 END,
    unreported = CASE WHEN status = 'waiting' THEN unreported ELSE 0 END, replays = replays + 1
WHERE delivery_id = ANY ($1::text[])
