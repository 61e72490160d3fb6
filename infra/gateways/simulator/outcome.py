"""What a gateway would do with a reference: pure, so that any gateway may be asked what would have happened.

Every draw is a hash of (seed, gateway, reference): there is no generator whose state could depend on the
order of requests. A charge is captured when its draw is below the success rate: a new rate moves the margin.
"""

import hashlib
import math
import struct
from statistics import NormalDist
from typing import Literal

from msgspec import Struct

from infra.gateways.simulator.profile import Asked, Decline, FaultKind, Profile, Webhooks

LONGEST_LATENCY_MS = 60_000.0
SMALLEST_DRAW = 2.0**-53
STANDARD_NORMAL = NormalDist()
FIVE_NUMBERS = struct.Struct("<5Q")
FOUR_NUMBERS = struct.Struct("<4Q")


class Latent(Struct, frozen=True, kw_only=True):
    """The fate of a charge: where it ends, what is said of it, and how long the answer takes.

    A charge that waits for the customer ends so once the customer has acted. `captured_late` is true of a
    decline that will turn out to have been captured after all.
    """

    charge_id: str
    status: Literal["captured", "declined"]
    decline: Decline | None
    awaits_customer: bool
    captured_late: bool
    latency_ms: float


def latent(profile: Profile, reference: str) -> Latent:
    digest = _digest(f"{profile.seed}/{profile.gateway}/{reference}", FIVE_NUMBERS.size)
    success, which, pending, late, speed = (_uniform(number) for number in FIVE_NUMBERS.unpack(digest))
    captured = success < profile.success_rate
    return Latent(
        charge_id=f"ch_{digest.hex()[:26]}",
        status="captured" if captured else "declined",
        decline=None if captured else _decline(profile, which),
        awaits_customer=pending < profile.pending_rate,
        captured_late=not captured and late < profile.late_capture_rate,
        latency_ms=_latency_ms(profile, speed),
    )


def charge_fault(profile: Profile, reference: str, at: Asked = "charge") -> FaultKind | None:
    """The fault that strikes what is asked for by this reference, the same one each time."""
    for fault in profile.faults:
        if (
            fault.at == at
            and fault.kind != "lookup_500"
            and _strikes(profile, reference, fault.kind, fault.probability)
        ):
            return fault.kind
    return None


def lookup_fails(profile: Profile, reference: str) -> bool:
    return any(
        fault.kind == "lookup_500" and _strikes(profile, reference, fault.kind, fault.probability)
        for fault in profile.faults
    )


class Delivery(Struct, frozen=True, kw_only=True):
    """The fate of a webhook: how often it is sent, when, and signed by what."""

    times: int
    delay_ms: int
    secret: str


def delivery(profile: Profile, webhooks: Webhooks, notification: str) -> Delivery:
    digest = _digest(f"{profile.seed}/{profile.gateway}/{notification}/webhook", FOUR_NUMBERS.size)
    lost, doubled, reordered, which = (_uniform(number) for number in FOUR_NUMBERS.unpack(digest))
    times = 2 if doubled < webhooks.doubled else 1
    late_ms = webhooks.reordered_by_ms if reordered < webhooks.reordered else 0
    return Delivery(
        times=0 if lost < webhooks.lost else times,
        delay_ms=webhooks.delay_ms + late_ms,
        secret=webhooks.secrets[int(which * len(webhooks.secrets))],
    )


def _strikes(profile: Profile, reference: str, kind: FaultKind, probability: float) -> bool:
    if probability >= 1:
        return True
    digest = _digest(f"{profile.seed}/{profile.gateway}/{reference}/{kind}", 8)
    return _uniform(int.from_bytes(digest, "little")) < probability


def _decline(profile: Profile, draw: float) -> Decline:
    """One of the declines, each with a chance in proportion to its weight."""
    left = draw * sum(decline.weight for decline in profile.declines)
    chosen = profile.declines[-1]
    for candidate in profile.declines:
        left -= candidate.weight
        if left < 0:
            chosen = candidate
            break
    return Decline(code=chosen.code, source=chosen.source, reason=chosen.reason)


def _latency_ms(profile: Profile, draw: float) -> float:
    """median · e^(sigma · z), where z is standard normal."""
    latency = profile.latency
    if latency.fixed_ms is not None:
        return latency.fixed_ms
    z = STANDARD_NORMAL.inv_cdf(max(draw, SMALLEST_DRAW))
    return min(latency.median_ms * math.exp(latency.sigma * z), LONGEST_LATENCY_MS)


def _digest(text: str, size: int) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=size).digest()


def _uniform(number: int) -> float:
    """A 64-bit number as a fraction in [0, 1), with the 53 bits a float can hold."""
    return (number >> 11) * SMALLEST_DRAW
