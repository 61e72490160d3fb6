-- Webhook deliveries: who is at one and for how long, what all dispatchers know of an endpoint, and what operators and the
-- house look for. From now on `attempts` counts those that somebody has reported on.

ALTER TABLE webhook_deliveries
    -- Claims since the last report: whoever made them died, or was too late.
    ADD COLUMN unreported int NOT NULL DEFAULT 0,
    -- Until then whoever claimed it last is at it; by this server's clock.
    ADD COLUMN leased_until_ms bigint;

CREATE INDEX webhook_deliveries_leased ON webhook_deliveries (subscription_id, leased_until_ms)
    WHERE status = 'waiting' AND leased_until_ms IS NOT NULL;
CREATE INDEX webhook_deliveries_overdue ON webhook_deliveries (given_up_at_ms) WHERE status = 'waiting';
CREATE INDEX webhook_deliveries_of_subscription ON webhook_deliveries (subscription_id, delivery_id);
CREATE INDEX webhook_deliveries_dead_of_subscription ON webhook_deliveries (subscription_id, delivery_id) WHERE status = 'dead';

-- Whose last attempt failed; a healthy one has no row. What is lost with it is learned anew from a handful of attempts.
CREATE TABLE webhook_endpoints (
    subscription_id text COLLATE "C" PRIMARY KEY,
    -- In a row, while it is not paused.
    failures        int              NOT NULL,
    -- It is left alone until then, and one attempt follows; both are null of one that is not.
    paused_until_ms bigint,
    pause_ms        int
);

-- Attempts that are under way by now: volatile, so that it sees what was committed since its caller's statement began.
CREATE FUNCTION webhook_leases(subscription text) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT count(*) FROM webhook_deliveries
    WHERE subscription_id = subscription AND status = 'waiting' AND leased_until_ms > now_ms()
$$;
