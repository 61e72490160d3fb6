-- name: reserve
-- Free keys become ours, in epoch 1, until so long from now by this server's clock. Rows come sorted, so that two
-- batches that share keys wait for one another in one direction only.
INSERT INTO reservations (merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms)
SELECT merchant_id, key_hash, fingerprint, payment_id, 1, now_ms() + window_ms
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[])
    AS wish (merchant_id, key_hash, fingerprint, payment_id, window_ms)
ON CONFLICT (merchant_id, key_hash) DO NOTHING
RETURNING payment_id, owned_until_ms;

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
