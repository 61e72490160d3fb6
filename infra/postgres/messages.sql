-- name: add
-- A message that comes again, from the topic or from its sender, is known by its position or by its sender's id of it.
-- In one order for everybody: two consumers that have the same records, in the middle of a rebalance, must not wait for
-- each other in a circle.
INSERT INTO notifications (
    topic, partition, "offset", stamp_ms, payment_id, attempt_id, gateway, event_id, told, message, due_at_ms
)
SELECT topic, partition, "offset", stamp_ms, payment_id, attempt_id, gateway, event_id, told, message::jsonb, now_ms()
FROM unnest(
    $1::text[], $2::int[], $3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[]
) AS new (topic, partition, "offset", stamp_ms, payment_id, attempt_id, gateway, event_id, told, message)
ORDER BY partition, "offset"
ON CONFLICT DO NOTHING

-- name: move_watermarks
-- Forward only: of two consumers in the middle of a rebalance the later one to commit may be behind.
INSERT INTO watermarks AS w (projection, version, topic, partition, next_offset, last_stamp_ms)
SELECT $1, $2, $3, partition, next_offset, last_stamp_ms
FROM unnest($4::int[], $5::bigint[], $6::bigint[]) AS new (partition, next_offset, last_stamp_ms)
ORDER BY partition
ON CONFLICT (projection, version, topic, partition) DO UPDATE SET
    next_offset = greatest(w.next_offset, excluded.next_offset),
    last_stamp_ms = greatest(w.last_stamp_ms, excluded.last_stamp_ms), updated_at = now()

-- name: forget_used
-- Those that were used a week ago, so many at most.
SELECT forget_used_notifications($1)
