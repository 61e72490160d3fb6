-- name: lock
-- Held until the connection is closed.
SELECT pg_try_advisory_lock(hashtext('rebuild_reservations'))

-- name: projected
-- How far the log certainly reached once: below these offsets its records were in the read model.
SELECT partition, max(next_offset) AS next_offset FROM watermarks WHERE topic = $1 GROUP BY partition

-- name: take_out_of_service
-- Waits for the statements that use it; those behind it find no table.
DROP TABLE IF EXISTS reservations

-- name: make_told_owners
-- What the log has told so far, by payment; it goes with the connection.
CREATE TEMPORARY TABLE told_owners (
    payment_id     text COLLATE "C" PRIMARY KEY,
    merchant_id    text COLLATE "C",
    key_hash       text COLLATE "C",
    fingerprint    text COLLATE "C",
    epoch          int              NOT NULL,
    owned_until_ms bigint           NOT NULL,
    handed_over    bool             NOT NULL,
    created_at     timestamptz      NOT NULL,
    is_attempted   bool             NOT NULL
) WITH (fillfactor = 80)

-- name: merge
-- A later stretch of a payment's records, each folded by itself, on top of the earlier ones: the first request stands,
-- a higher epoch is the owner, and a hand-over ends the window of its own.
INSERT INTO told_owners AS known (
    payment_id, merchant_id, key_hash, fingerprint, epoch, owned_until_ms, handed_over, created_at, is_attempted
)
SELECT *
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::int[], $6::bigint[], $7::bool[], $8::timestamptz[], $9::bool[]
)
ON CONFLICT (payment_id) DO UPDATE SET
    merchant_id = coalesce(known.merchant_id, excluded.merchant_id),
    key_hash = coalesce(known.key_hash, excluded.key_hash),
    fingerprint = coalesce(known.fingerprint, excluded.fingerprint),
    created_at = CASE WHEN known.key_hash IS NULL THEN excluded.created_at ELSE known.created_at END,
    epoch = greatest(known.epoch, excluded.epoch),
    owned_until_ms = CASE
        WHEN excluded.epoch > known.epoch OR excluded.epoch = known.epoch AND excluded.handed_over
        THEN excluded.owned_until_ms ELSE known.owned_until_ms
    END,
    handed_over = CASE
        WHEN excluded.epoch > known.epoch THEN excluded.handed_over
        WHEN excluded.epoch = known.epoch THEN known.handed_over OR excluded.handed_over
        ELSE known.handed_over
    END,
    is_attempted = known.is_attempted OR excluded.is_attempted

-- name: make_reservations
SELECT make_reservations()

-- name: fill
-- A payment whose request is not on the log has a row under no merchant and its own id, if anything was attempted.
-- Where a key has two payments, which only an emptied table could admit, one that was attempted is told of: the
-- other one would be started now.
INSERT INTO reservations (
    merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at
)
SELECT DISTINCT ON (merchant_id, key_hash)
    merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at
FROM (
    SELECT coalesce(merchant_id, '') AS merchant_id, coalesce(key_hash, payment_id) AS key_hash,
        coalesce(fingerprint, '') AS fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at, is_attempted
    FROM told_owners
    WHERE key_hash IS NOT NULL OR is_attempted
) AS owners
ORDER BY merchant_id, key_hash, is_attempted DESC, epoch DESC, payment_id

-- name: point_verifications
-- What is due names its payment's ownership row; where the log does not know the key, that is another one than before.
UPDATE verifications AS v
SET merchant_id = r.merchant_id, key_hash = r.key_hash
FROM reservations AS r
WHERE r.payment_id = v.payment_id AND (r.merchant_id, r.key_hash) <> (v.merchant_id, v.key_hash)

-- name: count
SELECT (SELECT count(*) FROM reservations) AS keys,
    (SELECT count(*) FROM told_owners WHERE key_hash IS NOT NULL OR is_attempted) AS payments
