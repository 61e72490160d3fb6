-- name: checkpoint
-- One snapshot: how far a partition's messages were folded, and the circuits after that. A row without a circuit is of a
-- partition that has a watermark and no circuits yet.
SELECT w.next_offset, w.last_stamp_ms, c.gateway, c.payment_method, c.state
FROM watermarks AS w LEFT JOIN circuit_checkpoints AS c ON c.partition = w.partition
WHERE w.projection = $1 AND w.version = $2 AND w.topic = $3 AND w.partition = $4

-- name: move_watermarks
-- Never back, and returns those that may be stored: of two writers in the middle of a rebalance the later one to commit
-- may be behind, and its circuits must not be stored either. The same messages come to the same circuits.
INSERT INTO watermarks AS w (projection, version, topic, partition, next_offset, last_stamp_ms)
SELECT $1, $2, $3, partition, next_offset, last_stamp_ms
FROM unnest($4::int[], $5::bigint[], $6::bigint[]) AS new (partition, next_offset, last_stamp_ms)
ORDER BY partition
ON CONFLICT (projection, version, topic, partition) DO UPDATE SET
    next_offset = excluded.next_offset, last_stamp_ms = excluded.last_stamp_ms, updated_at = now()
WHERE w.next_offset <= excluded.next_offset
RETURNING partition

-- name: put_checkpoints
INSERT INTO circuit_checkpoints AS c (gateway, payment_method, partition, state)
SELECT gateway, payment_method, partition, state::jsonb
FROM unnest($1::text[], $2::text[], $3::int[], $4::text[]) AS new (gateway, payment_method, partition, state)
ORDER BY gateway, payment_method
ON CONFLICT (gateway, payment_method) DO UPDATE SET partition = excluded.partition, state = excluded.state

-- name: views
-- One snapshot, as above.
SELECT w.next_offset, c.gateway, c.payment_method, c.view, c.sequence, c.decided_by
FROM watermarks AS w LEFT JOIN circuits AS c ON true
WHERE w.projection = $1 AND w.version = $2 AND w.topic = $3 AND w.partition = 0

-- name: put_views
INSERT INTO circuits (gateway, payment_method, view, sequence, decided_by)
SELECT gateway, payment_method, view::jsonb, sequence, decided_by
FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[])
    AS new (gateway, payment_method, view, sequence, decided_by)
ORDER BY gateway, payment_method
ON CONFLICT (gateway, payment_method) DO UPDATE SET
    view = excluded.view, sequence = excluded.sequence, decided_by = excluded.decided_by
