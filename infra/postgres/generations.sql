-- name: alone
-- Held until the connection is closed.
SELECT pg_try_advisory_lock(hashtext('generations of payments'))

-- name: standing
-- Generations that stand beside the live one.
SELECT nspname FROM pg_namespace WHERE nspname = ANY ($1::text[])

-- name: create_schema
SELECT format('CREATE SCHEMA IF NOT EXISTS %I', $1::text)

-- name: making
-- What makes a generation's tables, or what has come to the live ones since they were made: parents, what they are keyed
-- and searched by under the same names, and partitions. LIKE would invent names for indexes.
WITH parents AS (
    SELECT oid, relname FROM pg_class WHERE oid = ANY (ARRAY['public.payments', 'public.attempts', 'public.routing_decisions']::regclass[])
),
statements AS (
    SELECT 1 AS step, relname AS name, format(
        'CREATE TABLE %I.%I (LIKE public.%I INCLUDING ALL EXCLUDING INDEXES) PARTITION BY %s',
        $1::text, relname, relname, pg_get_partkeydef(oid)) AS statement
    FROM parents WHERE to_regclass(format('%I.%I', $1::text, relname)) IS NULL
    UNION ALL
    SELECT 2, c.conname, format(
        'ALTER TABLE %I.%I ADD CONSTRAINT %I %s', $1::text, p.relname, c.conname, pg_get_constraintdef(c.oid))
    FROM parents AS p JOIN pg_constraint AS c ON c.conrelid = p.oid AND c.contype IN ('p', 'u')
    WHERE to_regclass(format('%I.%I', $1::text, c.conname)) IS NULL
    UNION ALL
    SELECT 3, i.relname, regexp_replace(
        pg_get_indexdef(i.oid), ' ON .* USING ', format(' ON %I.%I USING ', $1::text, p.relname))
    FROM parents AS p JOIN pg_index AS x ON x.indrelid = p.oid JOIN pg_class AS i ON i.oid = x.indexrelid
    WHERE to_regclass(format('%I.%I', $1::text, i.relname)) IS NULL
        AND NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.oid)
    UNION ALL
    SELECT 4, c.relname, format(
        'CREATE TABLE %I.%I PARTITION OF %I.%I %s %s', $1::text, c.relname, $1::text, p.relname,
        pg_get_expr(c.relpartbound, c.oid), 'WITH (' || array_to_string(c.reloptions, ', ') || ')')
    FROM parents AS p JOIN pg_inherits AS h ON h.inhparent = p.oid JOIN pg_class AS c ON c.oid = h.inhrelid
    WHERE to_regclass(format('%I.%I', $1::text, c.relname)) IS NULL
    UNION ALL
    SELECT 5, 'watermarks', format('CREATE TABLE %I.watermarks (LIKE public.watermarks INCLUDING ALL)', $1::text)
    WHERE to_regclass(format('%I.watermarks', $1::text)) IS NULL
    UNION ALL
    SELECT 5, 'projection_errors', format(
        'CREATE TABLE %I.projection_errors (LIKE public.projection_errors INCLUDING ALL)', $1::text)
    WHERE to_regclass(format('%I.projection_errors', $1::text)) IS NULL
)
SELECT statement FROM statements ORDER BY step, name

-- name: definition
-- All that one generation must have in common with another, a line each.
WITH tables AS (
    SELECT t.relid AS oid, t.isleaf, c.relname, c.relowner, c.relacl, c.reloptions, c.relpartbound
    FROM unnest(ARRAY['payments', 'attempts', 'routing_decisions']) AS name,
        pg_partition_tree(format('%I.%I', $1::text, name)::regclass) AS t
    JOIN pg_class AS c ON c.oid = t.relid
)
SELECT format('%s: %s of %s, %s, %s', relname, pg_get_expr(relpartbound, oid), relowner, relacl, reloptions) AS line
FROM tables
UNION ALL
SELECT format('%s.%s: %s, not null %s, generated %s, collation %s, %s', t.relname, a.attname,
    format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attgenerated, a.attcollation, pg_get_expr(d.adbin, d.adrelid))
FROM tables AS t
JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef AS d ON d.adrelid = t.oid AND d.adnum = a.attnum
WHERE NOT t.isleaf
UNION ALL
SELECT replace(pg_get_indexdef(x.indexrelid), $1::text || '.', '')
FROM tables AS t JOIN pg_index AS x ON x.indrelid = t.oid
WHERE NOT t.isleaf
UNION ALL
SELECT replace(pg_get_triggerdef(g.oid), $1::text || '.', '')
FROM tables AS t JOIN pg_trigger AS g ON g.tgrelid = t.oid AND NOT g.tgisinternal
ORDER BY line

-- name: analyze
-- Of each table, in a statement of its own: a partition is done in seconds.
SELECT format('ANALYZE %I.%I', $1::text, c.relname) AS statement
FROM pg_class AS c WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'

-- name: stretch
-- Where a stretch of so many payments ends that begins after that id: all there are lie in one of them, whatever side they are on.
SELECT least(
    (SELECT payment_id FROM public.payments WHERE payment_id > $1 ORDER BY payment_id OFFSET $2 LIMIT 1),
    (SELECT payment_id FROM payments WHERE payment_id > $1 ORDER BY payment_id OFFSET $2 LIMIT 1)
) AS stop

-- name: differing_within
-- Payments of which any row differs, or stands on one side only. Compared as they are, without a word about what differs.
SELECT payment_id
FROM (SELECT * FROM public.payments WHERE payment_id > $1 AND payment_id <= $2) AS live
FULL JOIN (SELECT * FROM payments WHERE payment_id > $1 AND payment_id <= $2) AS beside USING (payment_id)
WHERE live IS DISTINCT FROM beside
UNION
SELECT payment_id
FROM (SELECT * FROM public.attempts WHERE payment_id > $1 AND payment_id <= $2) AS live
FULL JOIN (SELECT * FROM attempts WHERE payment_id > $1 AND payment_id <= $2) AS beside USING (payment_id, attempt_id)
WHERE live IS DISTINCT FROM beside
UNION
SELECT payment_id
FROM (SELECT * FROM public.routing_decisions WHERE payment_id > $1 AND payment_id <= $2) AS live
FULL JOIN (SELECT * FROM routing_decisions WHERE payment_id > $1 AND payment_id <= $2) AS beside USING (payment_id, sequence)
WHERE live IS DISTINCT FROM beside

-- name: differing_among
-- The same among some of them.
SELECT payment_id
FROM (SELECT * FROM public.payments WHERE payment_id = ANY ($1::text[])) AS live
FULL JOIN (SELECT * FROM payments WHERE payment_id = ANY ($1::text[])) AS beside USING (payment_id)
WHERE live IS DISTINCT FROM beside
UNION
SELECT payment_id
FROM (SELECT * FROM public.attempts WHERE payment_id = ANY ($1::text[])) AS live
FULL JOIN (SELECT * FROM attempts WHERE payment_id = ANY ($1::text[])) AS beside USING (payment_id, attempt_id)
WHERE live IS DISTINCT FROM beside
UNION
SELECT payment_id
FROM (SELECT * FROM public.routing_decisions WHERE payment_id = ANY ($1::text[])) AS live
FULL JOIN (SELECT * FROM routing_decisions WHERE payment_id = ANY ($1::text[])) AS beside USING (payment_id, sequence)
WHERE live IS DISTINCT FROM beside

-- name: rows
-- All rows of these payments, each under its table and key, where they still differ without the columns that may.
WITH live AS (
    SELECT payment_id, jsonb_object_agg(name, fields) AS rows FROM (
        SELECT payment_id, 'payments' AS name, to_jsonb(p) - $2::text[] AS fields FROM public.payments AS p
        WHERE payment_id = ANY ($1::text[])
        UNION ALL
        SELECT payment_id, 'attempts ' || attempt_id, to_jsonb(a) - $3::text[] FROM public.attempts AS a
        WHERE payment_id = ANY ($1::text[])
        UNION ALL
        SELECT payment_id, 'routing_decisions ' || sequence, to_jsonb(d) - $4::text[] FROM public.routing_decisions AS d
        WHERE payment_id = ANY ($1::text[])
    ) AS all_rows GROUP BY payment_id
),
beside AS (
    SELECT payment_id, jsonb_object_agg(name, fields) AS rows FROM (
        SELECT payment_id, 'payments' AS name, to_jsonb(p) - $2::text[] AS fields FROM payments AS p
        WHERE payment_id = ANY ($1::text[])
        UNION ALL
        SELECT payment_id, 'attempts ' || attempt_id, to_jsonb(a) - $3::text[] FROM attempts AS a
        WHERE payment_id = ANY ($1::text[])
        UNION ALL
        SELECT payment_id, 'routing_decisions ' || sequence, to_jsonb(d) - $4::text[] FROM routing_decisions AS d
        WHERE payment_id = ANY ($1::text[])
    ) AS all_rows GROUP BY payment_id
)
SELECT payment_id, live.rows::text AS live, beside.rows::text AS beside
FROM live FULL JOIN beside USING (payment_id)
WHERE live.rows IS DISTINCT FROM beside.rows

-- name: about
-- How many payments there are, as the planner thinks.
SELECT coalesce(sum(greatest(c.reltuples, 0)), 0)::bigint AS payments
FROM pg_partition_tree('payments'::regclass) AS t JOIN pg_class AS c ON c.oid = t.relid
WHERE t.isleaf

-- name: count_within
SELECT count(*) FROM payments WHERE payment_id > $1 AND payment_id <= $2

-- name: watermarks
-- Of both, of one moment.
SELECT partition, live.next_offset AS live, coalesce(beside.next_offset, 0) AS beside
FROM public.watermarks AS live
LEFT JOIN watermarks AS beside USING (projection, version, topic, partition)
WHERE projection = $1 AND version = $2 AND topic = $3

-- name: behind
SELECT format(
    'SELECT coalesce(sum(live.next_offset - coalesce(beside.next_offset, 0)), 0)::bigint FROM public.watermarks AS live '
    'LEFT JOIN %I.watermarks AS beside USING (projection, version, topic, partition) '
    'WHERE projection = $1 AND version = $2 AND topic = $3', $1::text)

-- name: keep_vacuum_away
-- Nobody who reads or writes rows waits for it. A vacuum would have to be waited for below, and others behind us; here it
-- gives way within a second.
LOCK TABLE public.payments, public.attempts, public.routing_decisions IN SHARE UPDATE EXCLUSIVE MODE

-- name: lock_tables
SELECT format(
    'LOCK TABLE public.payments, public.attempts, public.routing_decisions, %1$I.payments, %1$I.attempts, '
    '%1$I.routing_decisions IN ACCESS EXCLUSIVE MODE', $1::text)

-- name: moves
-- From one schema to another, with their partitions; indexes and constraints go with their tables.
SELECT string_agg(format('ALTER TABLE %I.%I SET SCHEMA %I', $1::text, c.relname, $2::text), '; ')
FROM unnest(ARRAY['payments', 'attempts', 'routing_decisions']) AS name,
    pg_partition_tree(format('%I.%I', $1::text, name)::regclass) AS t
JOIN pg_class AS c ON c.oid = t.relid

-- name: put_out
SELECT format('CREATE SCHEMA %I', $1::text)

-- name: keep_watermarks
-- As far as the rows came that are put out.
SELECT format(
    'CREATE TABLE %1$I.watermarks (LIKE public.watermarks INCLUDING ALL); '
    'INSERT INTO %1$I.watermarks SELECT * FROM public.watermarks WHERE projection = %2$L AND version = %3$s',
    $1::text, $2::text, $3::int)

-- name: change_errors
-- What the rows that are put out, and those that are taken in, could not be made of goes with them: `verify` leaves it out.
-- One that is an error of both stays as it was noted first.
SELECT format(
    'CREATE TABLE %2$I.projection_errors (LIKE public.projection_errors INCLUDING ALL); '
    'INSERT INTO %2$I.projection_errors SELECT * FROM public.projection_errors WHERE projection = %3$L AND version = %4$s; '
    'DELETE FROM public.projection_errors AS e WHERE projection = %3$L AND version = %4$s AND NOT EXISTS ('
    'SELECT FROM %1$I.projection_errors AS n WHERE (n.projection, n.version, n.topic, n.partition, n."offset") '
    '= (e.projection, e.version, e.topic, e.partition, e."offset")); '
    'INSERT INTO public.projection_errors SELECT * FROM %1$I.projection_errors ON CONFLICT DO NOTHING',
    $1::text, $2::text, $3::text, $4::int)

-- name: next_generation
UPDATE public.watermarks SET generation = generation + 1 WHERE projection = $1 AND version = $2

-- name: leave
-- What is left of a schema whose tables were taken in, and the name of the one that the others were put out to.
SELECT format('DROP TABLE %1$I.watermarks, %1$I.projection_errors; DROP SCHEMA %1$I; ALTER SCHEMA %2$I RENAME TO %3$I', $1::text, $2::text, $3::text)

-- name: drop
SELECT format('DROP SCHEMA %I CASCADE', $1::text)
