-- The ownership index, the payments read model and how far it has come.
--
-- Ids are `text COLLATE "C"`: they sort byte by byte, hence by the time they were minted, so that a range of ids is a
-- range of time. History is partitioned by it. What is nested stays jsonb; what is queried is a column, generated
-- from the jsonb where it is a part of it, so that the two cannot differ.

-- Timestamps are shown in UTC, whatever the server's own zone is.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET timezone TO ''UTC''', current_database()); END $$;

-- The one clock that leases are judged by, in milliseconds since the epoch.
CREATE FUNCTION now_ms() RETURNS bigint LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint
$$;

-- Who owns an idempotency key, and until when. An index of the log: the payments projection heals it.
CREATE TABLE reservations (
    merchant_id    text COLLATE "C" NOT NULL,
    key_hash       text COLLATE "C" NOT NULL,
    fingerprint    text COLLATE "C" NOT NULL,
    payment_id     text COLLATE "C" NOT NULL,
    epoch          int              NOT NULL DEFAULT 1,
    owned_until_ms bigint           NOT NULL,
    handed_over    bool             NOT NULL DEFAULT false,
    claim_id       text COLLATE "C",
    created_at     timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (merchant_id, key_hash)
) PARTITION BY HASH (merchant_id, key_hash);

DO $$
BEGIN
    FOR part IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE reservations_%s PARTITION OF reservations FOR VALUES WITH (MODULUS 16, REMAINDER %s) '
            'WITH (fillfactor = 80)',
            lpad(part::text, 2, '0'), part);
    END LOOP;
END
$$;

CREATE TABLE payments (
    payment_id        text COLLATE "C" PRIMARY KEY,
    status            text             NOT NULL,
    sequence          int              NOT NULL,
    epoch             int              NOT NULL,
    created_at        timestamptz      NOT NULL,
    updated_at        timestamptz      NOT NULL,
    "order"           jsonb,
    key_hash          text COLLATE "C",
    fingerprint       text COLLATE "C",
    gateway           text,
    gateway_reference text,
    attempts          int              NOT NULL,
    failure           jsonb,
    next_action       jsonb,
    strategy          text,
    routing_reason    text,
    experiment_id     text,
    variant           text,
    latency_ms        bigint,
    owned_until_ms    bigint           NOT NULL,
    handed_over       bool             NOT NULL,
    offsets           bigint[]         NOT NULL,
    merchant_id       text COLLATE "C" GENERATED ALWAYS AS ("order" ->> 'merchant_id') STORED,
    customer_id       text             GENERATED ALWAYS AS ("order" ->> 'customer_id') STORED,
    amount_minor      bigint           GENERATED ALWAYS AS (("order" ->> 'amount_minor')::bigint) STORED,
    currency          text             GENERATED ALWAYS AS ("order" ->> 'currency') STORED,
    payment_method    text             GENERATED ALWAYS AS ("order" ->> 'payment_method') STORED
) PARTITION BY RANGE (payment_id);

-- A merchant's payments, newest first.
CREATE INDEX payments_of_merchant ON payments (merchant_id, payment_id DESC);
-- What nobody has settled yet: the verifier's work, a handful of rows at any time.
CREATE INDEX payments_unsettled ON payments (payment_id)
    WHERE status IN ('PENDING_VERIFICATION', 'AWAITING_CUSTOMER', 'NEEDS_REVIEW');

CREATE TABLE attempts (
    attempt_id        text COLLATE "C" NOT NULL,
    payment_id        text COLLATE "C" NOT NULL,
    number            int              NOT NULL,
    gateway           text             NOT NULL,
    status            text             NOT NULL,
    started_at        timestamptz      NOT NULL,
    reason            text,
    timeout_ms        int,
    latency_ms        bigint,
    gateway_reference text,
    decline           jsonb,
    detail            text,
    verified          bool             NOT NULL,
    compensated_by    text,
    PRIMARY KEY (payment_id, attempt_id)
) PARTITION BY RANGE (payment_id);

-- Attempts whose outcome is not known, of settled payments too.
CREATE INDEX attempts_open ON attempts (payment_id) WHERE status IN ('STARTED', 'AWAITING_CUSTOMER', 'IN_DOUBT');

CREATE TABLE routing_decisions (
    payment_id text COLLATE "C" NOT NULL,
    sequence   int              NOT NULL,
    strategy   text             NOT NULL,
    reason     text             NOT NULL,
    candidates jsonb            NOT NULL,
    excluded   jsonb            NOT NULL,
    policy     jsonb            NOT NULL,
    decided_at timestamptz      NOT NULL,
    PRIMARY KEY (payment_id, sequence)
) PARTITION BY RANGE (payment_id);

-- Below `next_offset` a record is in the projection's rows; both change in one transaction.
CREATE TABLE watermarks (
    projection    text        NOT NULL,
    version       int         NOT NULL,
    topic         text        NOT NULL,
    partition     int         NOT NULL,
    next_offset   bigint      NOT NULL DEFAULT 0,
    last_stamp_ms bigint      NOT NULL DEFAULT 0,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version, topic, partition)
) WITH (fillfactor = 50);

-- What a projection could not take in. The record itself is on the log, and with its reason in `dead-letters.v1`.
CREATE TABLE projection_errors (
    projection text        NOT NULL,
    version    int         NOT NULL,
    topic      text        NOT NULL,
    partition  int         NOT NULL,
    "offset"   bigint      NOT NULL,
    reason     text        NOT NULL,
    noted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (projection, version, topic, partition, "offset")
);

-- The smallest payment id that can be minted at that moment, in the base32 of schemas/ids.py. Its 26 characters hold 130
-- bits, 2 more than a UUIDv7 has, so that the 48 bits of the milliseconds are the first 10 characters exactly.
CREATE FUNCTION first_payment_id(moment timestamptz) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT 'pay_' || string_agg(
               substr('0123456789abcdefghjkmnpqrstvwxyz', (head >> (45 - 5 * digit) & 31)::int + 1, 1), '' ORDER BY digit
           ) || repeat('0', 16)
    FROM (SELECT floor(extract(epoch FROM moment) * 1000)::bigint AS head) AS milliseconds,
         generate_series(0, 9) AS digit
$$;

CREATE TABLE payments_default PARTITION OF payments DEFAULT WITH (fillfactor = 70);
CREATE TABLE attempts_default PARTITION OF attempts DEFAULT WITH (fillfactor = 70);
CREATE TABLE routing_decisions_default PARTITION OF routing_decisions DEFAULT;

-- Monthly partitions from last month to `ahead` months from now, those that are not there yet; returns how many it made.
-- A table is made by itself and then attached, which locks out neither readers nor writers of the others.
CREATE FUNCTION make_month_partitions(ahead int) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    first  timestamptz;
    name   text;
    made   int := 0;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('make_month_partitions'));
    FOR month IN -1..ahead LOOP
        first := (date_trunc('month', now() AT TIME ZONE 'UTC') + make_interval(months => month)) AT TIME ZONE 'UTC';
        FOREACH parent IN ARRAY ARRAY['payments', 'attempts', 'routing_decisions'] LOOP
            name := parent || to_char(first AT TIME ZONE 'UTC', '_YYYY_MM');
            CONTINUE WHEN to_regclass(name) IS NOT NULL;
            EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL) WITH (fillfactor = 70)', name, parent);
            EXECUTE format(
                'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name,
                first_payment_id(first),
                first_payment_id((first AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC'));
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END
$$;
