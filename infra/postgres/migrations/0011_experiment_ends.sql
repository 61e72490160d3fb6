-- What analyzers of experiments know of one another. No fold of a topic: where rows are lost, an end is seen anew, later.

-- When the end of an experiment was first seen, and where the payments' partitions ended then: whoever concludes it waits
-- from then on, and for no other records. The row of a concluded experiment stays, and tells what its figures had to have.
CREATE TABLE experiment_ends (
    experiment_id text COLLATE "C" PRIMARY KEY,
    version       bigint           NOT NULL,
    seen_at       timestamptz      NOT NULL,
    log_ends      jsonb            NOT NULL
);

-- One row: when all experiments were judged last, by any process.
CREATE TABLE experiment_turns (
    is_only  boolean     PRIMARY KEY DEFAULT true CHECK (is_only),
    ended_at timestamptz NOT NULL
);
