-- The vault: whose the tokens are by which events name customers. The one thing here that cannot be made again from the log;
-- a row that is deleted is a customer forgotten. A schema of its own, so that roles and backups can tell it from all else.
CREATE SCHEMA vault;

CREATE TABLE vault.customers (
    merchant_id text COLLATE "C" NOT NULL,
    customer_id text COLLATE "C" NOT NULL,
    token       text COLLATE "C" NOT NULL UNIQUE,
    PRIMARY KEY (merchant_id, customer_id)
);
