-- The reservation table can be made anew: `python -m streams.cli reservations rebuild` fills it from the log.

-- An empty table of reservations admits every key a second time, and no running process would notice. (A missing one
-- admits nobody, so dropping it needs no guard.)
CREATE FUNCTION refuse_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% must not be emptied: every key in it could be paid again', TG_TABLE_NAME
        USING HINT = '`python -m streams.cli reservations rebuild` makes the reservations anew, from the log.';
END
$$;

CREATE FUNCTION guard_reservations() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN SELECT relid FROM pg_partition_tree(to_regclass('reservations')) LOOP
        EXECUTE format(
            'CREATE TRIGGER no_truncate BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_truncate()',
            part);
    END LOOP;
END
$$;

SELECT guard_reservations();

-- The table as 0001 and 0002 made it, empty, and guarded. Whoever calls it fills it in the same transaction.
CREATE FUNCTION make_reservations() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
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
    FOR part IN 0..15 LOOP
        EXECUTE format(
            'CREATE TABLE reservations_%s PARTITION OF reservations FOR VALUES WITH (MODULUS 16, REMAINDER %s) '
            'WITH (fillfactor = 80)',
            lpad(part::text, 2, '0'), part);
    END LOOP;
    CREATE INDEX reservations_of_payment ON reservations (payment_id);
    PERFORM guard_reservations();
END
$$;
