-- name: by_index
-- For one transaction. Whatever statistics say, or do not say yet, a few rows are to be found by their keys: a plan that
-- reads a whole table would make a claim the slower the more payments there are. `OFFSET 0` is for the same: without it a
-- payment's reservation is looked for along the order that is asked for, which is through all keys of every partition.
SET LOCAL enable_seqscan = off;
SET LOCAL enable_hashjoin = off;
SET LOCAL enable_mergejoin = off;
SET LOCAL jit = off

-- name: sort_out
-- Messages whose time has come, so many at once: what tells nothing new is used up, and so is what another gateway tells
-- than the attempt's own, and what is about a payment that the log does not tell of for a day ($2): as far as the
-- projection ($4, $5, $6) has come in every partition, since while it is behind it knows no new payment. Of the rest, what
-- is about a payment that could be claimed is news; the others wait, the longer the older they are, but not beyond the
-- moment at which their payment's owner has certainly gone. $3 is the guard for clocks that differ.
WITH moment AS MATERIALIZED (
    SELECT now_ms() AS now_ms, (
        SELECT min(last_stamp_ms) FROM watermarks WHERE projection = $4 AND version = $5 AND topic = $6
    ) AS projected_to_ms
),
looked_at AS MATERIALIZED (
    SELECT topic, partition, "offset", stamp_ms, payment_id, attempt_id, gateway, told
    FROM notifications
    WHERE used_at IS NULL AND NOT is_news AND due_at_ms <= (SELECT now_ms FROM moment)
    ORDER BY due_at_ms
    LIMIT $1
    FOR UPDATE SKIP LOCKED
),
judged AS (
    SELECT topic, partition, "offset", now_ms, now_ms - stamp_ms AS age_ms, own.free_at_ms,
        CASE
            WHEN p.payment_id IS NULL AND stamp_ms <= projected_to_ms - $2::bigint THEN 'unknown'
            WHEN n.gateway <> '' AND a.timeout_ms IS NOT NULL AND a.gateway COLLATE "C" <> n.gateway THEN 'foreign'
            WHEN a.status = 'SUCCEEDED' AND told IN ('succeeded', 'declined') THEN 'old'
            WHEN a.status = 'SUCCEEDED' AND told = 'look'
                AND (a.late IS DISTINCT FROM 'give_back' OR a.compensated_by IS NOT NULL) THEN 'old'
            WHEN a.status IN ('DECLINED', 'NOT_SENT') AND told = 'declined' THEN 'old'
            WHEN own.handed_over OR own.free_at_ms <= now_ms THEN 'news'
            ELSE 'waits'
        END AS verdict
    FROM moment, looked_at AS n
    LEFT JOIN payments AS p ON p.payment_id = n.payment_id AND p.sequence > 0
    LEFT JOIN attempts AS a ON a.payment_id = n.payment_id AND a.attempt_id = n.attempt_id
    LEFT JOIN LATERAL (
        SELECT handed_over, owned_until_ms + 2 * $3::bigint AS free_at_ms
        FROM (SELECT * FROM reservations WHERE payment_id = p.payment_id OFFSET 0) AS of_payment
        ORDER BY merchant_id DESC LIMIT 1
    ) AS own ON true
)
UPDATE notifications AS n
SET is_news = verdict = 'news',
    used_at = CASE WHEN verdict IN ('old', 'unknown', 'foreign') THEN now() END,
    due_at_ms = CASE verdict
        WHEN 'waits' THEN now_ms + least(greatest(200, age_ms / 8), greatest(400, age_ms / 100), free_at_ms - now_ms)
        ELSE due_at_ms END
FROM judged
WHERE n.topic = judged.topic AND n.partition = judged.partition AND n."offset" = judged."offset"
RETURNING verdict

-- name: claim
-- $1 gateways, $2 how many of each, $7 how many of these are left to last looks; $3 the guard, $4 the window, $5 how many
-- more of each are looked at, because somebody may own the first ones, $6 as many claim ids as can be needed. Claimed is
-- first what was told, then what is urgent, then last looks, each the longest due first. As in reservations.sql a window
-- begins at the hand-over, or a guard after the old one's end, and is claimed one more guard later. Nothing here waits for
-- anybody's lock.
WITH RECURSIVE moment AS MATERIALIZED (SELECT now_ms() AS now_ms),
given AS (
    SELECT gateway, free, for_last_looks FROM unnest($1::text[], $2::int[], $7::int[]) AS given (gateway, free, for_last_looks)
),
-- Every gateway that anything is planned for or has to be asked about, one step of each index each. One that is configured
-- no more cannot be asked: its payments take the slots of those that ask nobody.
planned AS (
    SELECT ''::text COLLATE "C" AS gateway
    UNION ALL
    SELECT least(
        (SELECT v.gateway FROM verifications AS v WHERE v.gateway > planned.gateway ORDER BY v.gateway LIMIT 1),
        (
            SELECT n.asks FROM notifications AS n
            WHERE n.asks > planned.gateway AND used_at IS NULL AND is_news ORDER BY n.asks LIMIT 1
        )
    )
    FROM planned WHERE planned.gateway IS NOT NULL
),
slots AS (
    SELECT gateway, gateway AS taken_of, free, for_last_looks FROM given WHERE free > 0
    UNION ALL
    SELECT planned.gateway, nobodys.gateway, nobodys.free, nobodys.for_last_looks
    FROM planned JOIN given AS nobodys ON nobodys.gateway = '' AND nobodys.free > 0
    WHERE planned.gateway NOT IN (SELECT gateway FROM given)
),
due AS MATERIALIZED (
    SELECT of_one.*
    FROM moment, slots, (VALUES (true), (false)) AS kinds (urgent), LATERAL (
        SELECT payment_id, merchant_id, key_hash, gateway, due_at_ms, urgent
        FROM verifications AS v
        WHERE v.gateway = slots.gateway AND v.urgent = kinds.urgent AND due_at_ms <= moment.now_ms
        ORDER BY due_at_ms
        LIMIT slots.free + $5::int
        FOR UPDATE SKIP LOCKED
    ) AS of_one
),
told AS MATERIALIZED (
    SELECT of_one.*
    FROM moment, slots, LATERAL (
        SELECT topic, partition, "offset", payment_id, asks, due_at_ms
        FROM notifications
        WHERE asks = slots.gateway AND due_at_ms <= moment.now_ms AND used_at IS NULL AND is_news
        ORDER BY due_at_ms
        LIMIT slots.free + $5::int
        FOR UPDATE SKIP LOCKED
    ) AS of_one
),
wanted AS (
    SELECT DISTINCT ON (payment_id) *
    FROM (
        SELECT payment_id, merchant_id, key_hash, gateway, due_at_ms, CASE WHEN urgent THEN 2 ELSE 3 END AS rank FROM due
        UNION ALL
        SELECT told.payment_id, own.merchant_id, own.key_hash, told.asks, told.due_at_ms, 1
        FROM told LEFT JOIN LATERAL (
            SELECT merchant_id, key_hash
            FROM (SELECT * FROM reservations WHERE payment_id = told.payment_id OFFSET 0) AS of_payment
            ORDER BY merchant_id DESC LIMIT 1
        ) AS own ON true
    ) AS any_of_them
    ORDER BY payment_id, rank, due_at_ms
),
seen AS MATERIALIZED (
    SELECT wanted.payment_id, coalesce(r.merchant_id, o.merchant_id) AS merchant_id,
        coalesce(r.key_hash, o.key_hash) AS key_hash, gateway, due_at_ms, rank,
        coalesce(r.owned_until_ms, o.owned_until_ms)
            + CASE WHEN coalesce(r.handed_over, o.handed_over) THEN 0 ELSE 2 * $3::bigint END AS free_at_ms
    FROM wanted
    LEFT JOIN reservations AS r ON r.merchant_id = wanted.merchant_id AND r.key_hash = wanted.key_hash
        AND r.payment_id = wanted.payment_id
    LEFT JOIN LATERAL (  -- its key was admitted twice, and the row under it is the other payment's
        SELECT * FROM reservations WHERE r.payment_id IS NULL AND payment_id = wanted.payment_id LIMIT 1
    ) AS o ON true
),
placed AS (
    SELECT seen.*, taken_of, free, for_last_looks,
        row_number() OVER (PARTITION BY taken_of, rank ORDER BY due_at_ms, payment_id) AS of_its_rank
    FROM moment, seen
    JOIN slots USING (gateway)
    WHERE free_at_ms <= now_ms
),
chosen AS (
    SELECT payment_id, merchant_id, key_hash, taken_of, due_at_ms, rank
    FROM (
        SELECT placed.*, row_number() OVER (
            PARTITION BY taken_of
            ORDER BY rank = 3 AND of_its_rank <= for_last_looks DESC, rank, due_at_ms, payment_id
        ) AS place
        FROM placed
    ) AS can_be_claimed
    WHERE place <= free
),
mine AS MATERIALIZED (
    SELECT chosen.*, r.owned_until_ms + CASE WHEN r.handed_over THEN 0 ELSE $3::bigint END AS valid_from_ms
    FROM moment, chosen
    JOIN reservations AS r ON r.merchant_id = chosen.merchant_id AND r.key_hash = chosen.key_hash
        AND r.payment_id = chosen.payment_id
    WHERE r.handed_over OR r.owned_until_ms + 2 * $3::bigint <= now_ms
    FOR UPDATE OF r SKIP LOCKED
),
claimed AS (
    UPDATE reservations AS r
    SET epoch = r.epoch + 1, claim_id = named.claim_id, owned_until_ms = now_ms + $4::bigint, handed_over = false
    FROM moment, (SELECT mine.*, ($6::text[])[row_number() OVER ()] AS claim_id FROM mine) AS named
    WHERE r.merchant_id = named.merchant_id AND r.key_hash = named.key_hash
    RETURNING r.payment_id, named.taken_of, named.rank, named.due_at_ms, r.epoch, r.claim_id, named.valid_from_ms,
        r.owned_until_ms AS valid_until_ms
),
-- Looked at next when its owner's window, ours perhaps, has certainly ended; without a row, a minute from now.
owned AS (
    SELECT payment_id,
        coalesce(claimed.valid_until_ms + 2 * $3::bigint, free_at_ms, now_ms + 60000) AS until_ms
    FROM moment, seen
    LEFT JOIN claimed USING (payment_id)
    WHERE claimed.payment_id IS NOT NULL OR free_at_ms > now_ms OR free_at_ms IS NULL
),
put_off AS (
    UPDATE verifications AS v SET due_at_ms = until_ms
    FROM due JOIN owned USING (payment_id)
    WHERE v.payment_id = due.payment_id
),
wait_on AS (
    UPDATE notifications AS n SET is_news = false, due_at_ms = now_ms + 300
    FROM moment, told JOIN owned USING (payment_id)
    WHERE n.topic = told.topic AND n.partition = told.partition AND n."offset" = told."offset"
)
SELECT payment_id, taken_of AS gateway, epoch, claim_id, valid_from_ms, valid_until_ms, messages.rows AS messages
FROM claimed, LATERAL (
    SELECT json_agg(json_build_object(
        'position', json_build_object('topic', topic, 'partition', partition, 'offset', "offset"),
        'message', message) ORDER BY topic, partition, "offset")::text AS rows
    FROM notifications AS n
    WHERE n.payment_id = claimed.payment_id AND used_at IS NULL
) AS messages
ORDER BY rank, due_at_ms, payment_id

-- name: used
UPDATE notifications AS n SET used_at = now(), is_news = false
FROM unnest($1::text[], $2::int[], $3::bigint[]) AS told (topic, partition, "offset")
WHERE n.topic = told.topic AND n.partition = told.partition AND n."offset" = told."offset" AND n.used_at IS NULL
