"""What the adapters count, in the process's default registry. No label ever comes from a request."""

from prometheus_client import Counter, Gauge, Histogram

GATEWAY_CALLS = Counter(
    "payments_gateway_charges_total", "Charges by gateway and what they came to.", ["gateway", "outcome"]
)
GATEWAY_FAULTS = Counter(
    "payments_gateway_gateway_faults_total",
    "Charges that failed through a fault of the gateway's own, not of a customer's, a bank's or ours.",
    ["gateway"],
)
GATEWAY_SECONDS = Histogram(
    "payments_gateway_charge_seconds",
    "How long gateways take to answer a charge.",
    ["gateway"],
    buckets=(0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2.5, 5, 10),
)
APPENDS = Counter(
    "payments_gateway_appends_total",
    "Appends to the log: acknowledged, ambiguous (what became of them is not known) or unavailable.",
    ["result"],
)
PRODUCERS_REPLACED = Counter(
    "payments_gateway_producers_replaced_total",
    "Producers that were given up because nothing was acknowledged.",
)
NOTIFICATIONS = Counter(
    "payments_gateway_notifications_total",
    "Notifications of gateways: accepted, ignored, bad_signature or unreadable.",
    ["gateway", "result"],
)
REQUESTS_REFUSED = Counter(
    "payments_gateway_http_refused_total", "What was sent and is no request that can be read.", ["reason"]
)
RATE_LIMIT_CHECKS = Counter(
    "payments_gateway_rate_limit_checks_total",
    "Requests counted against a rate limit: by redis, for all processes, or by this process alone while Redis is away.",
    ["by"],
)
RATE_LIMITED = Counter(
    "payments_gateway_rate_limited_total", "Requests refused, by the policy that was exceeded.", ["policy"]
)
RELIABILITY_EVENTS = Counter(
    "payments_gateway_reliability_events_total",
    "What a person should know, and its ends, as told on reliability.events.v1; the same one may be told twice.",
    ["event"],
)
PAYMENTS_ENDED = Counter(
    "payments_gateway_payments_ended_total",
    "Payments that succeeded or failed, and whose doing a failure was.",
    ["status", "blame"],
)
FACTS_UNREADABLE = Counter(
    "payments_gateway_facts_unreadable_total",
    "Records of circuits, configuration, experiments or alarms that this process could not read and left out.",
    ["topic"],
)
READY = Gauge("payments_gateway_ready", "1 while readiness says that this process can serve.")
