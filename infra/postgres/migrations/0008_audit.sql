-- Who has changed what: a fold of the topics of configuration, experiments, circuits and reviews. Its watermarks are rows
-- of `watermarks`, and change in one transaction with it; where they are deleted, all of it is made anew.
CREATE TABLE audit_entries (
    topic         text COLLATE "C" NOT NULL,
    partition     int              NOT NULL,
    record_offset bigint           NOT NULL,
    stamp_ms      bigint           NOT NULL,
    aggregate     text COLLATE "C" NOT NULL,
    what          text             NOT NULL,
    said_by       text             NOT NULL,
    note          text             NOT NULL,
    request_id    text             NOT NULL,
    before        jsonb,
    after         jsonb,
    PRIMARY KEY (topic, partition, record_offset)
);

CREATE INDEX audit_entries_newest ON audit_entries (stamp_ms, topic, partition, record_offset);
CREATE INDEX audit_entries_of_aggregate ON audit_entries (aggregate, stamp_ms, topic, partition, record_offset);
CREATE INDEX audit_entries_of_person ON audit_entries (said_by, stamp_ms, topic, partition, record_offset);
