-- name: add
-- Where the watermarks were taken back and the entries were not, they are made anew over what is there.
INSERT INTO audit_entries (topic, partition, record_offset, stamp_ms, aggregate, what, said_by, note, request_id, before, after)
SELECT $1, $2, record_offset, stamp_ms, aggregate, what, said_by, note, request_id, before::jsonb, after::jsonb
FROM unnest($3::bigint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[])
    AS new (record_offset, stamp_ms, aggregate, what, said_by, note, request_id, before, after)
ON CONFLICT (topic, partition, record_offset) DO UPDATE
SET stamp_ms = excluded.stamp_ms, aggregate = excluded.aggregate, what = excluded.what, said_by = excluded.said_by,
    note = excluded.note, request_id = excluded.request_id, before = excluded.before, after = excluded.after

-- name: newest
-- Below a place, or from the newest on where there is none.
SELECT topic, partition, record_offset, stamp_ms, aggregate, what, said_by, note, request_id, before::text, after::text
FROM audit_entries
WHERE (stamp_ms, topic, partition, record_offset) < ($1::bigint, $2::text, $3::int, $4::bigint)
ORDER BY stamp_ms DESC, topic DESC, partition DESC, record_offset DESC
LIMIT $5

-- name: of_aggregate
SELECT topic, partition, record_offset, stamp_ms, aggregate, what, said_by, note, request_id, before::text, after::text
FROM audit_entries
WHERE (stamp_ms, topic, partition, record_offset) < ($1::bigint, $2::text, $3::int, $4::bigint)
  AND aggregate = $6 AND ($7::text IS NULL OR said_by = $7 OR starts_with(said_by, $7 || ' for '))
ORDER BY stamp_ms DESC, topic DESC, partition DESC, record_offset DESC
LIMIT $5

-- name: of_person
-- Also what was done with somebody's key for somebody else: all of it has the same first part, which the index has.
SELECT topic, partition, record_offset, stamp_ms, aggregate, what, said_by, note, request_id, before::text, after::text
FROM audit_entries
WHERE (stamp_ms, topic, partition, record_offset) < ($1::bigint, $2::text, $3::int, $4::bigint)
  AND split_part(said_by, ' for ', 1) = split_part($6::text, ' for ', 1)
  AND (said_by = $6 OR starts_with(said_by, $6 || ' for '))
ORDER BY stamp_ms DESC, topic DESC, partition DESC, record_offset DESC
LIMIT $5
