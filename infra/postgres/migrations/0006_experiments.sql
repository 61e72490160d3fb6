-- Experiments' figures: a fold of `payments.events.v1`. Its watermarks are rows of `watermarks`, and all of it changes in
-- one transaction with them.

-- An exposed payment as far as the log has been read, so that what is learned later corrects what it contributed.
CREATE TABLE experiment_exposures (
    payment_id    text COLLATE "C" PRIMARY KEY,
    experiment_id text COLLATE "C" NOT NULL,
    exposure      jsonb            NOT NULL
) WITH (fillfactor = 50);

-- What a customer's payments come to in one variant. They lie in several partitions: whoever changes a row locks it.
CREATE TABLE experiment_customers (
    experiment_id   text COLLATE "C" NOT NULL,
    variant         text COLLATE "C" NOT NULL,
    customer_id     text COLLATE "C" NOT NULL,
    exposed         bigint           NOT NULL,
    payments        bigint           NOT NULL,
    succeeded       bigint           NOT NULL,
    first_succeeded bigint           NOT NULL,
    timed           bigint           NOT NULL,
    log_units       bigint           NOT NULL,
    PRIMARY KEY (experiment_id, variant, customer_id)
) WITH (fillfactor = 50);

-- Sums over an arm's customers and payments, in parts: each is written by whoever reads one source partition, and nobody
-- else. A part by itself means nothing and may be negative; their sum is the arm's. Squares outgrow a bigint.
CREATE TABLE experiment_arms (
    experiment_id           text COLLATE "C" NOT NULL,
    variant                 text COLLATE "C" NOT NULL,
    partition               int              NOT NULL,
    changes                 bigint           NOT NULL,
    assigned                numeric          NOT NULL,
    exposed                 numeric          NOT NULL,
    customers               numeric          NOT NULL,
    payments                numeric          NOT NULL,
    payments_squared        numeric          NOT NULL,
    succeeded               numeric          NOT NULL,
    succeeded_squared       numeric          NOT NULL,
    succeeded_product       numeric          NOT NULL,
    first_succeeded         numeric          NOT NULL,
    first_succeeded_squared numeric          NOT NULL,
    first_succeeded_product numeric          NOT NULL,
    timed_customers         numeric          NOT NULL,
    timed                   numeric          NOT NULL,
    timed_squared           numeric          NOT NULL,
    log                     numeric          NOT NULL,
    log_squared             numeric          NOT NULL,
    log_product             numeric          NOT NULL,
    unknown                 numeric          NOT NULL,
    in_review               numeric          NOT NULL,
    PRIMARY KEY (experiment_id, variant, partition)
) WITH (fillfactor = 50);

-- What else is counted of an arm, by name: `latency:BIN` of the sketch, `charged:CURRENCY` and `cost:CURRENCY`.
CREATE TABLE experiment_counters (
    experiment_id text COLLATE "C" NOT NULL,
    variant       text COLLATE "C" NOT NULL,
    partition     int              NOT NULL,
    name          text COLLATE "C" NOT NULL,
    count         numeric          NOT NULL,
    PRIMARY KEY (experiment_id, variant, partition, name)
) WITH (fillfactor = 50);
