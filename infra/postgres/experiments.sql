-- name: exposures
SELECT payment_id, exposure FROM experiment_exposures WHERE payment_id = ANY ($1::text[])

-- name: put_exposures
INSERT INTO experiment_exposures (payment_id, experiment_id, exposure)
SELECT payment_id, experiment_id, exposure::jsonb
FROM unnest($1::text[], $2::text[], $3::text[]) AS new (payment_id, experiment_id, exposure)
ON CONFLICT (payment_id) DO UPDATE SET experiment_id = excluded.experiment_id, exposure = excluded.exposure

-- name: add_to_customers
-- Locks each row, in one order for everybody, adds to what it holds by then, and tells what it holds now: whatever two
-- workers do at once, each sees the customer before and after its own change.
INSERT INTO experiment_customers AS c (
    experiment_id, variant, customer_id, exposed, payments, succeeded, first_succeeded, timed, log_units
)
SELECT experiment_id, variant, customer_id, exposed, payments, succeeded, first_succeeded, timed, log_units
FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[]
) AS new (experiment_id, variant, customer_id, exposed, payments, succeeded, first_succeeded, timed, log_units)
ORDER BY experiment_id COLLATE "C", variant COLLATE "C", customer_id COLLATE "C"
ON CONFLICT (experiment_id, variant, customer_id) DO UPDATE SET
    exposed = c.exposed + excluded.exposed, payments = c.payments + excluded.payments,
    succeeded = c.succeeded + excluded.succeeded, first_succeeded = c.first_succeeded + excluded.first_succeeded,
    timed = c.timed + excluded.timed, log_units = c.log_units + excluded.log_units
RETURNING experiment_id, variant, customer_id, exposed, payments, succeeded, first_succeeded, timed, log_units

-- name: add_to_arms
INSERT INTO experiment_arms AS a (
    experiment_id, variant, partition, changes, assigned, exposed, customers, payments, payments_squared, succeeded,
    succeeded_squared, succeeded_product, first_succeeded, first_succeeded_squared, first_succeeded_product,
    timed_customers, timed, timed_squared, log, log_squared, log_product, unknown, in_review
)
SELECT experiment_id, variant, partition, 1, assigned, exposed, customers, payments, payments_squared, succeeded,
    succeeded_squared, succeeded_product, first_succeeded, first_succeeded_squared, first_succeeded_product,
    timed_customers, timed, timed_squared, log, log_squared, log_product, unknown, in_review
FROM unnest(
    $1::text[], $2::text[], $3::int[], $4::numeric[], $5::numeric[], $6::numeric[], $7::numeric[], $8::numeric[],
    $9::numeric[], $10::numeric[], $11::numeric[], $12::numeric[], $13::numeric[], $14::numeric[], $15::numeric[],
    $16::numeric[], $17::numeric[], $18::numeric[], $19::numeric[], $20::numeric[], $21::numeric[], $22::numeric[]
) AS new (
    experiment_id, variant, partition, assigned, exposed, customers, payments, payments_squared, succeeded,
    succeeded_squared, succeeded_product, first_succeeded, first_succeeded_squared, first_succeeded_product,
    timed_customers, timed, timed_squared, log, log_squared, log_product, unknown, in_review
)
ON CONFLICT (experiment_id, variant, partition) DO UPDATE SET
    changes = a.changes + 1, assigned = a.assigned + excluded.assigned, exposed = a.exposed + excluded.exposed,
    customers = a.customers + excluded.customers, payments = a.payments + excluded.payments,
    payments_squared = a.payments_squared + excluded.payments_squared, succeeded = a.succeeded + excluded.succeeded,
    succeeded_squared = a.succeeded_squared + excluded.succeeded_squared,
    succeeded_product = a.succeeded_product + excluded.succeeded_product,
    first_succeeded = a.first_succeeded + excluded.first_succeeded,
    first_succeeded_squared = a.first_succeeded_squared + excluded.first_succeeded_squared,
    first_succeeded_product = a.first_succeeded_product + excluded.first_succeeded_product,
    timed_customers = a.timed_customers + excluded.timed_customers, timed = a.timed + excluded.timed,
    timed_squared = a.timed_squared + excluded.timed_squared, log = a.log + excluded.log,
    log_squared = a.log_squared + excluded.log_squared, log_product = a.log_product + excluded.log_product,
    unknown = a.unknown + excluded.unknown, in_review = a.in_review + excluded.in_review

-- name: add_to_counters
INSERT INTO experiment_counters AS c (experiment_id, variant, partition, name, count)
SELECT experiment_id, variant, partition, name, count
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[], $5::numeric[])
    AS new (experiment_id, variant, partition, name, count)
ON CONFLICT (experiment_id, variant, partition, name) DO UPDATE SET count = c.count + excluded.count

-- name: forget_exposures
-- Ids sort by the time they were minted.
WITH gone AS (
    DELETE FROM experiment_exposures WHERE payment_id IN (
        SELECT payment_id FROM experiment_exposures WHERE payment_id < $1 ORDER BY payment_id LIMIT $2
    )
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: forget_customers
-- In the order of the key, experiment by experiment: one of which nothing is left costs a look into the index.
WITH gone AS (
    DELETE FROM experiment_customers WHERE (experiment_id, variant, customer_id) IN (
        SELECT ended.experiment_id, c.variant, c.customer_id
        FROM unnest($1::text[]) AS ended (experiment_id)
        CROSS JOIN LATERAL (
            SELECT variant, customer_id FROM experiment_customers
            WHERE experiment_id = ended.experiment_id
            ORDER BY variant, customer_id LIMIT $2
        ) AS c
        LIMIT $2
    )
    RETURNING 1
)
SELECT count(*) FROM gone

-- name: take_turn
-- Of several analyzers one judges and acts at a time; the end of the transaction ends its turn.
SELECT pg_try_advisory_xact_lock(hashtext('experiment_analyzer'))

-- name: note_turn
INSERT INTO experiment_turns (ended_at) VALUES (clock_timestamp())
ON CONFLICT (is_only) DO UPDATE SET ended_at = excluded.ended_at

-- name: since_last_turn_s
SELECT greatest(0, extract(epoch FROM clock_timestamp() - ended_at))::float8 AS elapsed_s FROM experiment_turns

-- name: ends
SELECT experiment_id, version, seen_at, log_ends FROM experiment_ends WHERE experiment_id = ANY ($1::text[])

-- name: keep_end
-- Who sees it first says when it was; a later version has an end of its own.
INSERT INTO experiment_ends AS e (experiment_id, version, seen_at, log_ends) VALUES ($1, $2, $3, $4::jsonb)
ON CONFLICT (experiment_id) DO UPDATE SET
    version = excluded.version, seen_at = excluded.seen_at, log_ends = excluded.log_ends
WHERE e.version < excluded.version

-- name: forget_end
DELETE FROM experiment_ends WHERE experiment_id = $1 AND version = $2

-- name: changes
-- Of each of these experiments, a number that grows with whatever is counted.
SELECT experiment_id, sum(changes)::bigint AS changes FROM experiment_arms WHERE experiment_id = ANY ($1::text[])
GROUP BY experiment_id

-- name: tallies
-- One snapshot: the arms of an experiment, whatever the number of its payments and customers, and how far each partition
-- is in them; one row without a variant where nothing was counted.
SELECT w.marks, a.*
FROM (
    SELECT json_object_agg(partition, json_build_array(next_offset, last_stamp_ms)) AS marks
    FROM watermarks
    WHERE projection = $2 AND version = $3 AND topic = $4 AND next_offset > 0
) AS w
LEFT JOIN (
    SELECT a.variant, sum(a.assigned) AS assigned, sum(a.exposed) AS exposed, sum(a.customers) AS customers,
        sum(a.payments) AS payments, sum(a.payments_squared) AS payments_squared, sum(a.succeeded) AS succeeded,
        sum(a.succeeded_squared) AS succeeded_squared, sum(a.succeeded_product) AS succeeded_product,
        sum(a.first_succeeded) AS first_succeeded, sum(a.first_succeeded_squared) AS first_succeeded_squared,
        sum(a.first_succeeded_product) AS first_succeeded_product, sum(a.timed_customers) AS timed_customers,
        sum(a.timed) AS timed, sum(a.timed_squared) AS timed_squared, sum(a.log) AS log,
        sum(a.log_squared) AS log_squared, sum(a.log_product) AS log_product, sum(a.unknown) AS unknown,
        sum(a.in_review) AS in_review,
        (
            SELECT json_object_agg(c.name, c.count::text)
            FROM (
                SELECT name, sum(count) AS count FROM experiment_counters
                WHERE experiment_id = $1 AND variant = a.variant
                GROUP BY name
            ) AS c
        ) AS counters
    FROM experiment_arms AS a
    WHERE a.experiment_id = $1
    GROUP BY a.variant
) AS a ON true

-- name: one_snapshot
-- All that is asked in this transaction is as of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY

-- name: experiments
SELECT DISTINCT experiment_id FROM experiment_arms

-- name: customers
SELECT experiment_id, variant, customer_id, exposed, payments, succeeded, first_succeeded, timed, log_units
FROM experiment_customers
