-- By whom, or with whose key, whomever it was done for: `key:asha` and `key:asha for ravi` are read as one, in the order of the pages.
CREATE INDEX audit_entries_of_signer ON audit_entries
    (split_part(said_by, ' for ', 1), stamp_ms, topic, partition, record_offset);
DROP INDEX audit_entries_of_person;
