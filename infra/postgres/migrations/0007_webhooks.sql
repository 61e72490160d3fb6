-- Webhook deliveries: made of the event topics, effectively once, since their watermarks (rows of `watermarks`) move in the
-- same transaction; worked on by dispatchers, and the log of what became of each.

CREATE TABLE webhook_deliveries (
    -- Follows from the event and the subscription, and sorts by the time of the event.
    delivery_id     text COLLATE "C" PRIMARY KEY,
    subscription_id text COLLATE "C" NOT NULL,
    event_id        text COLLATE "C" NOT NULL,
    event_type      text COLLATE "C" NOT NULL,
    subject         text COLLATE "C" NOT NULL,
    merchant_id     text COLLATE "C",
    -- The very bytes that are signed and sent.
    body            text             NOT NULL,
    status          text             NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'delivered', 'dead')),
    -- Counted when an attempt is claimed: whoever reports one names its number, and is heard if it is the newest.
    attempts        int              NOT NULL DEFAULT 0,
    -- When it is attempted next, or the end of the lease of whoever attempts it; by this server's clock.
    due_at_ms       bigint           NOT NULL,
    given_up_at_ms  bigint           NOT NULL,
    created_at      timestamptz      NOT NULL DEFAULT now(),
    last_attempt_at timestamptz,
    last_result     text,
    last_latency_ms int,
    dead_because    text,
    replays         int              NOT NULL DEFAULT 0,
    -- An event may be appended twice, with the same id: it is told once.
    UNIQUE (subscription_id, event_id)
) WITH (fillfactor = 70);

-- What an endpoint is sent next.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (subscription_id, due_at_ms) WHERE status = 'waiting';
-- Operators' questions: what was not delivered, and who was told of this payment?
CREATE INDEX webhook_deliveries_dead ON webhook_deliveries (delivery_id) WHERE status = 'dead';
CREATE INDEX webhook_deliveries_of_subject ON webhook_deliveries (subject);
