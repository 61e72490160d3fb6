-- Circuits: as their one writer last checkpointed them, and as everybody knows them by their events. Both are folds of
-- topics and may be lost; the watermark of each is a row of `watermarks`, and changes in one transaction with it.

-- `state` is the writer's own: a circuit after every message below the watermark of its partition.
CREATE TABLE circuit_checkpoints (
    gateway        text  NOT NULL,
    payment_method text  NOT NULL,
    partition      int   NOT NULL,
    state          jsonb NOT NULL,
    PRIMARY KEY (gateway, payment_method)
) WITH (fillfactor = 50);

CREATE TABLE circuits (
    gateway        text   NOT NULL,
    payment_method text   NOT NULL,
    view           jsonb  NOT NULL,
    sequence       bigint NOT NULL,
    decided_by     bigint NOT NULL,
    PRIMARY KEY (gateway, payment_method)
) WITH (fillfactor = 50);
