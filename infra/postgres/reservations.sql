-- name: reserve
-- Free keys become ours, in epoch 1, until so long from now by this server's clock, and their customers are met, if nobody
-- has met them before. Rows come sorted, so that two batches that share keys or customers wait for one another in one
-- direction only. A customer whom somebody else meets at this moment has no token yet: `meet` then has it.
WITH wish AS MATERIALIZED (
    SELECT *
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[], $7::text[])
        AS wish (merchant_id, key_hash, fingerprint, payment_id, window_ms, customer_id, token)
),
mine AS (
    INSERT INTO reservations (merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms)
    SELECT merchant_id, key_hash, fingerprint, payment_id, 1, now_ms() + window_ms
    FROM wish
    ON CONFLICT (merchant_id, key_hash) DO NOTHING
    RETURNING payment_id, owned_until_ms
),
met AS (
    INSERT INTO vault.customers (merchant_id, customer_id, token)
    SELECT DISTINCT ON (merchant_id, customer_id) merchant_id, customer_id, token
    FROM wish JOIN mine USING (payment_id)
    ORDER BY merchant_id, customer_id, token
    ON CONFLICT (merchant_id, customer_id) DO NOTHING
    RETURNING merchant_id, customer_id, token
)
SELECT mine.payment_id, mine.owned_until_ms, coalesce(
    met.token,
    (
        SELECT token FROM vault.customers AS known
        WHERE known.merchant_id = wish.merchant_id AND known.customer_id = wish.customer_id
    )
) AS customer
FROM mine
JOIN wish USING (payment_id)
LEFT JOIN met ON met.merchant_id = wish.merchant_id AND met.customer_id = wish.customer_id;

-- name: meet
-- A customer's token, by which he is met now if he was not before.
WITH met AS (
    INSERT INTO vault.customers (merchant_id, customer_id, token)
    VALUES ($1, $2, $3)
    ON CONFLICT (merchant_id, customer_id) DO NOTHING
    RETURNING token
)
SELECT token FROM met
UNION ALL
SELECT token FROM vault.customers WHERE merchant_id = $1 AND customer_id = $2;

-- name: find
-- Who has these keys, and whether their windows are still running.
SELECT merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms > now_ms() AS is_owned
FROM reservations
WHERE (merchant_id, key_hash) IN (SELECT * FROM unnest($1::text[], $2::text[]));

-- name: claim
-- The next epoch, if the window has ended: at its hand-over, or at its end and the guard ($5) for differing clocks. One
-- more guard then passes before the claim, so that a broker whose clock is behind ours does not find it too early.
WITH mine AS (
    SELECT merchant_id, key_hash, guard_ms, owned_until_ms + guard_ms AS ended_ms
    FROM reservations, LATERAL (SELECT CASE WHEN handed_over THEN 0 ELSE $5::bigint END AS guard_ms) AS guard
    WHERE merchant_id = $1 AND key_hash = $2 AND epoch = $3
    FOR UPDATE OF reservations SKIP LOCKED
)
UPDATE reservations AS r
SET epoch = r.epoch + 1, claim_id = $4, owned_until_ms = now_ms() + $6::bigint, handed_over = false
FROM mine
WHERE r.merchant_id = mine.merchant_id AND r.key_hash = mine.key_hash AND mine.ended_ms + mine.guard_ms <= now_ms()
RETURNING r.epoch, mine.ended_ms AS valid_from_ms, r.owned_until_ms AS valid_until_ms;
