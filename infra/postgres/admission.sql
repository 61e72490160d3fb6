-- name: identity
-- Which Postgres this is, and how much it has made durable: it never takes any of that back, unless it was put back.
SELECT system_identifier::text,
       ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int AS timeline,
       (SELECT oid::bigint FROM pg_database WHERE datname = current_database()) AS database,
       current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off' AS is_durable,
       pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint AS flushed
FROM pg_control_system();
