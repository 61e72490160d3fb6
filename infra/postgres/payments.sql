-- name: upsert_payments
INSERT INTO payments (
    payment_id, status, sequence, epoch, created_at, updated_at, "order", key_hash, fingerprint, gateway,
    gateway_reference, paid_by, attempts, failure, next_action, strategy, routing_reason, experiment_id, variant,
    latency_ms, owned_until_ms, handed_over, offsets
)
SELECT payment_id, status, sequence, epoch, created_at, updated_at, "order"::jsonb, key_hash, fingerprint, gateway,
    gateway_reference, paid_by, attempts, failure::jsonb, next_action::jsonb, strategy, routing_reason, experiment_id,
    variant, latency_ms, owned_until_ms, handed_over, offsets::bigint[]
FROM unnest(
    $1::text[], $2::text[], $3::int[], $4::int[], $5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[],
    $9::text[], $10::text[], $11::text[], $12::text[], $13::int[], $14::text[], $15::text[], $16::text[], $17::text[],
    $18::text[], $19::text[], $20::bigint[], $21::bigint[], $22::bool[], $23::text[]
) AS new (
    payment_id, status, sequence, epoch, created_at, updated_at, "order", key_hash, fingerprint, gateway,
    gateway_reference, paid_by, attempts, failure, next_action, strategy, routing_reason, experiment_id, variant,
    latency_ms, owned_until_ms, handed_over, offsets
)
ON CONFLICT (payment_id) DO UPDATE SET
    status = excluded.status, sequence = excluded.sequence, epoch = excluded.epoch, created_at = excluded.created_at,
    updated_at = excluded.updated_at, "order" = excluded."order", key_hash = excluded.key_hash,
    fingerprint = excluded.fingerprint, gateway = excluded.gateway, gateway_reference = excluded.gateway_reference,
    paid_by = excluded.paid_by, attempts = excluded.attempts, failure = excluded.failure,
    next_action = excluded.next_action, strategy = excluded.strategy, routing_reason = excluded.routing_reason,
    experiment_id = excluded.experiment_id, variant = excluded.variant, latency_ms = excluded.latency_ms,
    owned_until_ms = excluded.owned_until_ms, handed_over = excluded.handed_over, offsets = excluded.offsets

-- name: upsert_attempts
INSERT INTO attempts (
    attempt_id, payment_id, number, gateway, status, started_at, reason, timeout_ms, latency_ms, gateway_reference,
    decline, detail, verified, compensated_by, late, checks, next_check_at, final_check_at, in_review
)
SELECT attempt_id, payment_id, number, gateway, status, started_at, reason, timeout_ms, latency_ms, gateway_reference,
    decline::jsonb, detail, verified, compensated_by, late, checks, next_check_at, final_check_at, in_review
FROM unnest(
    $1::text[], $2::text[], $3::int[], $4::text[], $5::text[], $6::timestamptz[], $7::text[], $8::int[], $9::bigint[],
    $10::text[], $11::text[], $12::text[], $13::bool[], $14::text[], $15::text[], $16::int[], $17::timestamptz[],
    $18::timestamptz[], $19::bool[]
) AS new (
    attempt_id, payment_id, number, gateway, status, started_at, reason, timeout_ms, latency_ms, gateway_reference,
    decline, detail, verified, compensated_by, late, checks, next_check_at, final_check_at, in_review
)
ON CONFLICT (payment_id, attempt_id) DO UPDATE SET
    number = excluded.number, gateway = excluded.gateway, status = excluded.status, started_at = excluded.started_at,
    reason = excluded.reason, timeout_ms = excluded.timeout_ms, latency_ms = excluded.latency_ms,
    gateway_reference = excluded.gateway_reference, decline = excluded.decline, detail = excluded.detail,
    verified = excluded.verified, compensated_by = excluded.compensated_by, late = excluded.late,
    checks = excluded.checks, next_check_at = excluded.next_check_at, final_check_at = excluded.final_check_at,
    in_review = excluded.in_review

-- name: add_decisions
-- A routing decision never changes.
INSERT INTO routing_decisions (payment_id, sequence, strategy, reason, candidates, excluded, policy, decided_at)
SELECT payment_id, sequence, strategy, reason, candidates::jsonb, excluded::jsonb, policy::jsonb, decided_at
FROM unnest(
    $1::text[], $2::int[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::timestamptz[]
) AS new (payment_id, sequence, strategy, reason, candidates, excluded, policy, decided_at)
ON CONFLICT DO NOTHING

-- name: heal_reservations
-- The log knows of an owner that the index has forgotten, or of a newer one, or that it has handed over. A row of a
-- higher epoch is ahead of us and is left alone. Of a payment whose request is not on the log the log does not know the key
-- (merchant ''): its row may be there all the same, under its real one. And a key that was admitted twice has one row: the
-- other payment's is under no merchant, so that it can be verified too. Rows come sorted as in reservations.sql.
WITH told AS (
    SELECT coalesce(own.merchant_id, told.merchant_id) COLLATE "C" AS merchant_id,
        coalesce(own.key_hash, told.key_hash) COLLATE "C" AS key_hash,
        fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at
    FROM unnest(
        $1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::bool[], $8::timestamptz[]
    ) AS told (merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at)
    LEFT JOIN LATERAL (
        SELECT r.merchant_id, r.key_hash FROM reservations AS r
        WHERE told.merchant_id = '' AND r.payment_id = told.payment_id
        ORDER BY r.merchant_id DESC LIMIT 1
    ) AS own ON true
),
placed AS (
    SELECT CASE WHEN taken.payment_id IS NULL THEN told.merchant_id ELSE '' END COLLATE "C" AS merchant_id,
        CASE WHEN taken.payment_id IS NULL THEN told.key_hash ELSE told.payment_id END COLLATE "C" AS key_hash,
        told.fingerprint, told.payment_id, told.epoch, told.owned_until_ms, told.handed_over, told.created_at
    FROM told
    LEFT JOIN reservations AS taken ON taken.merchant_id = told.merchant_id AND taken.key_hash = told.key_hash
        AND taken.payment_id <> told.payment_id
)
INSERT INTO reservations AS known (
    merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at
)
SELECT DISTINCT ON (merchant_id, key_hash) * FROM placed
ORDER BY merchant_id, key_hash, epoch DESC, payment_id
ON CONFLICT (merchant_id, key_hash) DO UPDATE SET
    epoch = excluded.epoch, owned_until_ms = excluded.owned_until_ms, handed_over = excluded.handed_over
WHERE known.payment_id = excluded.payment_id
    AND (excluded.epoch > known.epoch
         OR excluded.epoch = known.epoch AND excluded.handed_over AND NOT known.handed_over)

-- name: plan_verifications
-- What is due, and when: also of a payment that the queue has put off meanwhile. Its ownership row is found as above.
INSERT INTO verifications (payment_id, merchant_id, key_hash, gateway, due_at_ms, urgent)
SELECT payment_id, coalesce(own.merchant_id, new.merchant_id), coalesce(own.key_hash, new.key_hash), gateway,
    (extract(epoch FROM due_at) * 1000)::bigint, urgent
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::bool[])
    AS new (payment_id, merchant_id, key_hash, gateway, due_at, urgent)
LEFT JOIN LATERAL (
    SELECT r.merchant_id, r.key_hash FROM reservations AS r
    WHERE new.merchant_id = '' AND r.payment_id = new.payment_id
    ORDER BY r.merchant_id DESC LIMIT 1
) AS own ON true
ON CONFLICT (payment_id) DO UPDATE SET
    merchant_id = excluded.merchant_id, key_hash = excluded.key_hash, gateway = excluded.gateway,
    due_at_ms = excluded.due_at_ms, urgent = excluded.urgent

-- name: drop_verifications
DELETE FROM verifications WHERE payment_id = ANY ($1::text[])

-- name: note_errors
INSERT INTO projection_errors (projection, version, topic, partition, "offset", reason)
SELECT $1, $2, $3, new.* FROM unnest($4::int[], $5::bigint[], $6::text[]) AS new
ON CONFLICT DO NOTHING

-- name: forget_errors
-- Of records that were taken in after all.
DELETE FROM projection_errors
WHERE projection = $1 AND version = $2 AND topic = $3 AND partition = $4 AND "offset" = ANY ($5::bigint[])

-- name: histories
-- Everything that is known of some payments, each as JSON in the shape of the view.
SELECT p.payment_id, to_json(p)::text AS payment, a.rows AS attempts, d.rows AS decisions
FROM payments AS p
LEFT JOIN LATERAL (
    SELECT json_agg(a ORDER BY started_at, attempt_id)::text AS rows FROM attempts AS a WHERE a.payment_id = p.payment_id
) AS a ON true
LEFT JOIN LATERAL (
    SELECT json_agg(d ORDER BY sequence)::text AS rows FROM routing_decisions AS d WHERE d.payment_id = p.payment_id
) AS d ON true
WHERE p.payment_id = ANY ($1::text[])

-- name: find
-- One payment and the watermark of its partition, of one moment: a row even if there is no such payment.
SELECT coalesce(w.next_offset, 0) AS next_offset, coalesce(w.last_stamp_ms, 0) AS last_stamp_ms, w.updated_at,
    to_json(p)::text AS payment,
    (SELECT json_agg(a ORDER BY started_at, attempt_id)::text FROM attempts AS a WHERE a.payment_id = $1) AS attempts,
    (SELECT json_agg(d ORDER BY sequence)::text FROM routing_decisions AS d WHERE d.payment_id = $1) AS decisions
FROM (SELECT) AS always
LEFT JOIN watermarks AS w ON w.projection = $2 AND w.version = $3 AND w.topic = $4 AND w.partition = $5
LEFT JOIN payments AS p ON p.payment_id = $1

-- name: find_offsets
-- Where a payment's records lie, and from where on the log has to be searched for more.
SELECT coalesce(w.next_offset, 0) AS next_offset, p.offsets
FROM (SELECT) AS always
LEFT JOIN watermarks AS w ON w.projection = $2 AND w.version = $3 AND w.topic = $4 AND w.partition = $5
LEFT JOIN payments AS p ON p.payment_id = $1

-- name: find_attempts
SELECT coalesce(json_agg(a ORDER BY started_at, attempt_id), '[]')::text AS attempts FROM attempts AS a WHERE payment_id = $1

-- name: find_decisions
SELECT coalesce(json_agg(d ORDER BY sequence), '[]')::text AS decisions FROM routing_decisions AS d WHERE payment_id = $1
