"""Live figures of gateways: what is published for people, and what is published for the choice of a route.

Both are made of tallies of ten seconds of event time: an attempt counts in the bucket in which it started, whenever
its outcome becomes known. A window is a sum of buckets that ends with the one of `as_of`, which is not over yet.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, NamedTuple

import msgspec

from schemas.base import Value
from schemas.ids import GatewayId
from schemas.instrument import PaymentMethod
from schemas.outcome import Blame
from schemas.views import Watermark

BUCKET_S = 10
WINDOWS_MIN = (1, 5, 15, 60)
BUCKETS_KEPT = WINDOWS_MIN[-1] * 60 // BUCKET_S


def bucket_of(moment: datetime) -> int:
    """The number of its ten seconds since 1970."""
    return int(moment.timestamp()) // BUCKET_S


CellKind = Literal["method", "issuer", "network", "amount_band", "segment"]

Tally = dict[str, int]
"""Outcomes by their words, such as `declined:issuer:issuer_unavailable` or `in_doubt:read_timeout`, and latencies by
their bin, such as `ms:214`. What is zero is not there, so that equal sums are equal."""


class Cell(NamedTuple):
    """One of the things that figures are kept of. `kind` is `method` and `value` empty for a gateway's method as a
    whole; otherwise they narrow it."""

    gateway: str
    method: str
    kind: CellKind
    value: str


Buckets = dict[int, dict[Cell, Tally]]
"""By the number of the ten seconds since 1970."""


class Changes(NamedTuple):
    """What a store has to write: tallies as they now are, None for those that are gone, and buckets that have left."""

    tallies: Mapping[int, Mapping[Cell, Tally | None]]
    left: frozenset[int]


class StoredShard(NamedTuple):
    """The tallies of one source partition, and the watermark of which they are the sum."""

    watermark: Watermark
    buckets: Buckets


Found = Literal["expected", "none", "another"]
"""The watermark that a writer met."""

GATEWAY_KEY = "metrics:gateway:"
"""Before a gateway's name: its figures, JSON of GatewayFigures."""
PUBLISHED_KEY = "metrics:published"
"""JSON of Published."""
SNAPSHOT_KEY = "routing:snapshot"
"""MessagePack of RoutingSnapshot."""
SNAPSHOT_CHANNEL = "routing:snapshots"
"""Every snapshot is told here, too."""


class ErrorCount(Value, frozen=True, kw_only=True):
    """`code` is a decline's unified code, or the reason of what was not sent or is in doubt."""

    kind: Literal["declined", "not_sent", "in_doubt"]
    code: str
    count: int
    blame: Blame | None = None


class WindowFigures(Value, frozen=True, kw_only=True):
    """Rates are 0..1 and None where nothing was counted that they are made of.

    `success_rate` is what the gateway answers for: succeeded / (succeeded + gateway_faults + in_doubt), with its Wilson
    interval at 95 %. What customers, banks, risk checks and we ourselves do wrong is in `attempts` only. An attempt in
    doubt counts as slow until it is settled, and then as what it was.
    """

    attempts: int
    succeeded: int
    gateway_faults: int
    """Declined or not sent through the gateway's own fault."""
    declined: dict[Blame, int]
    not_sent: int
    awaiting_customer: int
    in_doubt: int
    success_rate: float | None
    success_rate_low: float | None
    success_rate_high: float | None
    latency_ms_p50: float | None
    latency_ms_p90: float | None
    latency_ms_p95: float | None
    latency_ms_p99: float | None
    errors: tuple[ErrorCount, ...]
    """The most frequent first."""


class Published(Value, frozen=True, kw_only=True):
    """What was published last. `version` grows with everything that is; `as_of` is when the windows end; all that was
    appended up to `through` is in them, and of later only a part."""

    version: int
    as_of: datetime
    through: datetime | None = None


Windows = dict[str, WindowFigures]
"""By their length: `1m`, `5m`, `15m`, `60m`."""


class MethodFigures(Value, frozen=True, kw_only=True):
    """Of the finer ones only the busiest of the hour are shown, by value."""

    windows: Windows
    issuers: dict[str, Windows]
    networks: dict[str, Windows]
    amount_bands: dict[str, Windows]
    segments: dict[str, Windows]


class GatewayFigures(Value, frozen=True, kw_only=True):
    gateway: str
    version: int
    as_of: datetime
    total: Windows
    methods: dict[str, MethodFigures]


class GatewayHealth(Value, frozen=True, kw_only=True):
    """What a gateway's method came to in the last five minutes, and in the 55 before, its usual self."""

    gateway: GatewayId
    payment_method: PaymentMethod
    succeeded: int
    failed: int
    """Its own faults and what is in doubt."""
    usual_succeeded: int
    usual_failed: int
    calls: int
    """Whose latency is known."""
    latency_ms_p90: float | None
    usual_calls: int
    usual_latency_ms_p95: float | None

    @property
    def outcomes(self) -> int:
        return self.succeeded + self.failed

    @property
    def rate(self) -> float:
        return self.succeeded / self.outcomes


class RoutingCell(msgspec.Struct, frozen=True, array_like=True):
    """`failed` are the gateway's own faults and what is in doubt; nothing else says anything about its health.

    A method and a segment have their history, from which posteriors are made: (bucket, succeeded, failed) of the last
    hour, the oldest first, where there was anything. Of the others the sums of 15 minutes are enough.
    """

    gateway: str
    method: str
    kind: CellKind
    value: str
    history: tuple[tuple[int, int, int], ...]
    succeeded_15m: int
    failed_15m: int
    latency_ms_p50: float | None
    """Of 5 minutes, as the next one."""
    latency_ms_p95: float | None


class RoutingSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Every cell that had an outcome within the hour. A reader keeps the one with the highest version, and judges its
    age by `through`, as in Published."""

    version: int
    as_of: datetime
    cells: tuple[RoutingCell, ...]
    bucket_s: int = BUCKET_S
    through: datetime | None = None
