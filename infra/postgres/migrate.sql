-- name: create_database
-- CREATE DATABASE takes no parameters, so the server itself quotes the name.
SELECT format('CREATE DATABASE %I ENCODING ''UTF8'' TEMPLATE template0', $1::text)

-- name: lock
-- Held until the connection is closed.
SELECT pg_advisory_lock(hashtext('schema_migrations'))

-- name: create_schema_migrations
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text        PRIMARY KEY,
    applied_at timestamptz NOT NULL DEFAULT now()
)

-- name: applied
SELECT name FROM schema_migrations

-- name: note_applied
INSERT INTO schema_migrations (name) VALUES ($1)

-- name: make_month_partitions
-- Those that are not there yet, so many months ahead.
SELECT make_month_partitions($1)
