"""What this process counts about HTTP, and `GET /metrics`. A label never holds what a client chose."""

from functools import cache

from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.routing_configuration import NOTHING_OFF, SwitchedOff

IN_FLIGHT = Gauge("payments_gateway_http_requests_in_flight", "Requests being answered now.")
CONSUMER_LAG = Gauge(
    "payments_gateway_consumer_lag_records", "Records not yet applied.", ["group", "topic", "partition"]
)
CONSUMER_LAG_SECONDS = Gauge(
    "payments_gateway_consumer_lag_seconds",
    "How long records have waited to be applied, to within a second or two.",
    ["group", "topic", "partition"],
)
ALARMS_STANDING = Gauge(
    "payments_gateway_alarms_standing",
    "Alarms of gateways and projections on reliability.events.v1 that have not ended.",
    ["alarm"],
)
KILL_SWITCHES_ON = Gauge(
    "payments_gateway_kill_switches_on",
    "1 for each gateway, method and strategy that an operator has switched off; of merchants, how many.",
    ["kind", "name"],
)
DEPENDENCY_OK = Gauge(
    "payments_gateway_dependency_ok",
    "1 while a dependency proves to be well, as readiness has it.",
    ["dependency"],
)
SHADOWED = Counter(
    "payments_gateway_shadowed",
    "Payments that the shadow policy was asked about: it agrees or differs, failed, was dropped because too many "
    "waited, or what it said is not_recorded.",
    ["result"],
)
for _result in ("agrees", "differs", "failed", "dropped", "not_recorded"):
    SHADOWED.labels(_result)
SHADOW_SECONDS = Histogram(
    "payments_gateway_shadow_seconds",
    "What routing a payment by the shadow policy costs this process.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05),
)
SHADOW_LAG = Gauge(
    "payments_gateway_shadow_lag_seconds",
    "From the last payments' decisions to the shadow's being on its topic; while it is not, since the first of them.",
)
_REQUESTS = Counter(
    "payments_gateway_http_requests",
    "Requests answered, and with which type of problem: empty where there was none.",
    ["route", "method", "status", "problem"],
)
_DURATIONS = Histogram(
    "payments_gateway_http_request_duration_seconds",
    "From the request's headers to the end of its answer.",
    ["route", "method", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
CLIENT_GONE = 499
"""The status of a request whose client left before it was answered."""


def show_kill_switches(off: SwitchedOff) -> None:
    """Merchants by number: there may be many, and none of them is for those who watch to know."""
    KILL_SWITCHES_ON.clear()
    KILL_SWITCHES_ON.labels("merchant", "").set(len(off.merchants))
    for kind, names in (("gateway", off.gateways), ("method", off.methods), ("strategy", off.strategies)):
        for name in names:
            KILL_SWITCHES_ON.labels(kind, name).set(1)


show_kill_switches(NOTHING_OFF)


@cache
def _children(route: str, method: str, status: int, problem: str) -> tuple[Counter, Histogram]:
    """Finding a labelled child takes a lock and a dictionary each time; all of these are few."""
    return _REQUESTS.labels(route, method, status, problem), _DURATIONS.labels(route, method, status)


def observe(route: str, method: str, status: int, problem: str, elapsed_ms: float) -> None:
    requests, durations = _children(route, method if method in _METHODS else "OTHER", status, problem)
    requests.inc()
    durations.observe(elapsed_ms / 1000)


async def show(_: Request) -> Response:
    return Response(generate_latest(), 200, {"Content-Type": CONTENT_TYPE_LATEST})


def routes() -> list[Route]:
    return [Route("/metrics", show, methods=["GET"])]
