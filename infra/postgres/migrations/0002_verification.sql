-- What verification has to do, what it has been told, and what it has found out.

ALTER TABLE payments ADD COLUMN paid_by text;

ALTER TABLE attempts
    ADD COLUMN late           text,
    ADD COLUMN checks         int  NOT NULL DEFAULT 0,
    ADD COLUMN next_check_at  timestamptz,
    ADD COLUMN final_check_at timestamptz,
    ADD COLUMN in_review      bool NOT NULL DEFAULT false;

-- What a person has to decide, oldest payment first.
CREATE INDEX attempts_in_review ON attempts (payment_id) WHERE in_review;

-- A payment has one ownership row. Where its request is not on the log, only the row itself knows its key.
CREATE INDEX reservations_of_payment ON reservations (payment_id);

-- The next thing due of each payment that has any. Most rows live for as long as a payment takes, so dead ones are cleared
-- away by their number, not by their share.
CREATE TABLE verifications (
    payment_id  text COLLATE "C" PRIMARY KEY,
    merchant_id text COLLATE "C" NOT NULL,
    key_hash    text COLLATE "C" NOT NULL,
    gateway     text COLLATE "C" NOT NULL,
    due_at_ms   bigint           NOT NULL,
    urgent      bool             NOT NULL
) WITH (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000
);

-- A claim reads each gateway's longest due from here, of both kinds, and nothing else of the backlog.
CREATE INDEX verifications_due ON verifications (gateway, urgent, due_at_ms);

-- What gateways and persons have told. `gateway` is empty for a person; `asks` is the gateway that has to be asked because
-- of it, empty where it proves what it tells. A message waits until `due_at_ms`, when it is
-- looked at: it tells nothing new and is used up, or its payment is owned or unknown and it waits on, or it is news,
-- for which its payment is claimed.
CREATE TABLE notifications (
    topic      text             NOT NULL,
    partition  int              NOT NULL,
    "offset"   bigint           NOT NULL,
    stamp_ms   bigint           NOT NULL,
    payment_id text COLLATE "C" NOT NULL,
    attempt_id text COLLATE "C" NOT NULL,
    gateway    text COLLATE "C" NOT NULL,
    event_id   text COLLATE "C" NOT NULL,
    told       text,
    asks       text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN told = 'look' THEN gateway ELSE '' END) STORED,
    message    jsonb            NOT NULL,
    due_at_ms  bigint           NOT NULL,
    is_news    bool             NOT NULL DEFAULT false,
    used_at    timestamptz,
    PRIMARY KEY (topic, partition, "offset"),
    UNIQUE (gateway, event_id)
) WITH (fillfactor = 70);

CREATE INDEX notifications_to_look_at ON notifications (due_at_ms) WHERE used_at IS NULL AND NOT is_news;
CREATE INDEX notifications_news ON notifications (asks, due_at_ms) WHERE used_at IS NULL AND is_news;
CREATE INDEX notifications_unused ON notifications (payment_id) WHERE used_at IS NULL;
CREATE INDEX notifications_used ON notifications (used_at) WHERE used_at IS NOT NULL;

-- Used messages are kept for a week, so that one that comes again is known. At most so many are deleted at a time;
-- returns how many were.
CREATE FUNCTION forget_used_notifications(at_most int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    forgotten int;
BEGIN
    DELETE FROM notifications WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM notifications WHERE used_at < now() - interval '7 days'
        ORDER BY used_at LIMIT at_most FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS forgotten = ROW_COUNT;
    RETURN forgotten;
END
$$;

-- Payments from before: what paid them, and those that nobody has settled.
UPDATE payments AS p SET paid_by = a.attempt_id
FROM attempts AS a
WHERE p.status = 'SUCCESS' AND a.payment_id = p.payment_id AND a.status = 'SUCCEEDED'
    AND a.gateway = p.gateway AND a.gateway_reference = p.gateway_reference;

INSERT INTO verifications (payment_id, merchant_id, key_hash, gateway, due_at_ms, urgent)
SELECT DISTINCT ON (p.payment_id) p.payment_id, coalesce(p.merchant_id, ''),
    CASE WHEN p."order" IS NULL THEN p.payment_id ELSE p.key_hash END, coalesce(a.gateway, ''),
    (extract(epoch FROM p.updated_at) * 1000)::bigint, true
FROM payments AS p
LEFT JOIN attempts AS a ON a.payment_id = p.payment_id AND a.status IN ('STARTED', 'AWAITING_CUSTOMER', 'IN_DOUBT')
WHERE p.sequence > 0 AND CASE
    WHEN a.attempt_id IS NULL
    THEN p.status NOT IN ('SUCCESS', 'FAILURE') AND (p.attempts > 0 OR p."order" IS NOT NULL)
    ELSE a.timeout_ms IS NOT NULL  -- an attempt whose start is not on the log was none
END
ORDER BY p.payment_id, a.gateway;

INSERT INTO reservations (merchant_id, key_hash, fingerprint, payment_id, epoch, owned_until_ms, handed_over, created_at)
SELECT '', payment_id, '', payment_id, epoch, owned_until_ms, handed_over, created_at
FROM payments
WHERE "order" IS NULL AND attempts > 0
ON CONFLICT DO NOTHING;
