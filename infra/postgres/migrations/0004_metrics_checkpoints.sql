-- Hot metrics as they were some seconds ago, so that a Redis that forgot everything is refilled without reading an hour of
-- the log: MessagePack of the tallies of one minute of event time. Its watermark is a row of `watermarks`, and changes
-- in one transaction with it.
CREATE TABLE metrics_slices (
    topic     text   NOT NULL,
    partition int    NOT NULL,
    minute    bigint NOT NULL,
    tallies   bytea  NOT NULL,
    PRIMARY KEY (topic, partition, minute)
);
