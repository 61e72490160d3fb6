"""`./dev bench outage`: the gateway with the most traffic breaks, and is repaired, while payments go on: how soon it is
left, how soon every process knows, how soon it is taken again, and whether anything was lost or doubled.

The whole product runs, as for the figures, with the bandit on. A gateway that has broken declines 95 % of its payments,
by its own fault. Moments are the broker's stamps of the first attempts. Each rate has a product of its own.
"""

import argparse
import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import msgspec
import uvloop
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from infra.gateways.simulator.defaults import GATEWAY, PAYU, RAZORPAY, telling
from infra.gateways.simulator.profile import Profile
from infra.local import LOCAL
from infra.local.ports import Ports
from infra.local.stack import Stack
from schemas.payment import AttemptStarted
from tests.bench.audit import Audit, audit
from tests.bench.generator import Answer, Plan, drive
from tests.bench.machine import Machine, this_machine
from tests.bench.payments import payment_requests
from tests.bench.rerouting import First, Left, between, calls, judged_by, left, share, taken_again
from tests.product import PLAIN_GATEWAYS, PLAIN_PROFILES, Client, Product, plain, read_topic

BROKEN_RATE = 0.05
WITHIN_S = {5.0: 30.0, 100.0: 2.0}
"""What was asked for, by payments a second."""
BACK_WITHIN_S = 150.0
"""After the repair: a circuit may be open for a minute, and its probes need payments."""
PIECE_S = 5.0
SETTLED_WITHIN_S = 60.0
LOOK_EVERY_S = 0.03
LEAST_CONNECTIONS = 8
"""And one for each payment of a second: more would be idle until the server closes them, as a payment is on its way."""
_UNSETTLED = "SELECT count(*) FROM payments WHERE status NOT IN ('SUCCESS', 'FAILURE')"


class Case(Struct, frozen=True, kw_only=True):
    """Gateways of one payment method."""

    method: str
    profiles: tuple[Profile, ...]
    settings: dict[str, dict[str, object]]
    """Of gateways that are not as the others."""


AT_ONCE = Case(method="CARD", profiles=PLAIN_PROFILES, settings={})
TOLD = Case(
    method="UPI",
    profiles=(replace(RAZORPAY, success_rate=0.95, pending_resolves_ms=300), PAYU),
    settings={"razorpay": {"adapter": "razorpay", "checks_per_second": 500, "max_concurrent_checks": 100}},
)
"""A customer pays 300 ms after the answer, and the gateway then tells how it went. It is the best by far: who tells is
the one that breaks. All its payments are the verifier's to settle, more than the usual 50 a second."""


class Drill(Struct, frozen=True, kw_only=True):
    """Seconds are from the first call after the break, or after the repair; None is *not within this run*."""

    rate_per_s: float
    gateway: str
    share_before: float
    payments: int
    """Of the outage."""
    first_tried: int
    """Of these, on the broken gateway."""
    left: Left | None
    wanted_s: float | None
    opened_s: float | None
    """Until its circuit was seen open in another process than its writer's."""
    closed_after_repair_s: float | None
    taken_again_s: float | None
    statuses: dict[int, int]
    """Of the answers to payments of the outage."""
    errors: dict[str, int]
    """Of all payments that were not answered."""
    unsettled: int
    audit: Audit

    @property
    def is_clean(self) -> bool:
        return self.audit.is_clean and not self.unsettled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rates", default="5,100", help="payments per second, of a product each (default 5,100)"
    )
    parser.add_argument(
        "--told", action="store_true", help="the outcomes of the gateway that breaks are told later"
    )
    parser.add_argument(
        "--learn", type=float, metavar="SECONDS", help="before it breaks (default: of 500 payments)"
    )
    parser.add_argument("--broken", type=float, default=45.0, metavar="SECONDS", help="how long (default 45)")
    parser.add_argument("--json", type=Path, metavar="FILE", default=LOCAL / "bench" / "outage.json")


def run(args: argparse.Namespace) -> int:
    """1 when a payment was lost, doubled, or never settled."""
    console, machine = Console(), this_machine()
    drills = [
        uvloop.run(_measure(float(rate), TOLD if args.told else AT_ONCE, args, console))
        for rate in args.rates.split(",")
    ]
    args.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "told": args.told, "drills": drills}
    args.json.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")
    _show(drills, machine, console)
    return 0 if all(drill.is_clean for drill in drills) else 1


async def _measure(rate_per_s: float, case: Case, args: argparse.Namespace, console: Console) -> Drill:
    stack = Stack(LOCAL / "bench", Ports.free())
    product = Product(
        stack,
        stack.folder,
        verifiers=1,
        circuit_writers=1,
        metrics_workers=1,
        profiles=case.profiles,
        gateways=_gateways(case),
        env={"RETRY_LATENCY_BUDGET_MS": "10000", "GATEWAY_TIMEOUT_MS": "2500"},
    )
    try:
        console.print(f"{rate_per_s:g} payments/s: starting the product …")
        await stack.start(empty=True)
        await product.start()
        client = Client(product)
        try:
            enabled = await client.order("/bandit/policy/*/enable")
            assert enabled.status == 200, enabled
            for profile in case.profiles:
                await client.set_profile(
                    **plain(telling(profile, f"{product.api.url}/gateway-notifications"))
                )
            return await _Run(product, client, case, rate_per_s, console).drill(args)
        finally:
            await client.close()
    finally:
        await product.stop()
        await stack.stop()


def _gateways(case: Case) -> list[dict[str, object]]:
    known = {gateway["id"]: gateway for gateway in PLAIN_GATEWAYS}
    return [{**known[profile.gateway], **case.settings.get(profile.gateway, {})} for profile in case.profiles]


class _Paid(Struct, frozen=True):
    """What an answer tells; a problem tells nothing of it."""

    payment_id: str = ""
    gateway: str | None = None
    attempts: int = 0


_decode = msgspec.json.Decoder(_Paid).decode


class _Run:
    def __init__(
        self, product: Product, client: Client, case: Case, rate_per_s: float, console: Console
    ) -> None:
        self._product = product
        self._client = client
        self._case = case
        self._rate_per_s = rate_per_s
        self._say = console.print
        self._judged_by = judged_by(rate_per_s)
        self._answers: list[tuple[int, str]] = []
        self._recent: deque[str] = deque(maxlen=self._judged_by)
        """The gateways that were tried first, of the last answers; empty where another one had to be tried."""
        self._errors: Counter[str] = Counter()
        self._changes: list[tuple[float, str]] = []
        self._requests = payment_requests(product.api.url, shares={case.method: 1})
        self._sent = 0

    async def drill(self, args: argparse.Namespace) -> Drill:
        learn_s = args.learn or max(20.0, 500 / self._rate_per_s)
        self._say(f"  learning for {learn_s:g} s …")
        await self._pay(learn_s)
        gateway = self._busiest()
        begun, answered = time.time(), len(self._answers)
        async with self._watching(gateway):
            healthy = await self._break(gateway)
            broken_s = time.time()
            self._say(f"  {gateway} is broken for {args.broken:g} s …")
            await self._pay(args.broken)
            statuses = Counter(status for status, _ in self._answers[answered:])
            await self._client.set_profile(**plain(healthy))
            repaired_s = time.time()
            self._say("  and repaired …")
            await self._until_back(gateway, repaired_s + BACK_WITHIN_S)
        unsettled = await self._unsettled()
        firsts = await self._firsts()
        outage = between(firsts, broken_s, repaired_s)
        before = share(between(firsts, begun - learn_s / 2, begun), gateway)
        back = taken_again(between(firsts, repaired_s, time.time()), gateway, self._judged_by, before)
        return Drill(
            rate_per_s=self._rate_per_s,
            gateway=gateway,
            share_before=round(before, 3),
            payments=len(outage),
            first_tried=calls(outage, gateway),
            left=left(outage, gateway, self._judged_by),
            wanted_s=WITHIN_S.get(self._rate_per_s),
            opened_s=self._since("OPEN", next((at for at, one in outage if one == gateway), broken_s)),
            closed_after_repair_s=self._since("CLOSED", repaired_s),
            taken_again_s=None if back is None else round(back - repaired_s, 2),
            statuses=dict(sorted(statuses.items())),
            errors=dict(self._errors),
            unsettled=unsettled,
            audit=await audit(self._product, self._client, await self._with_all_charges()),
        )

    async def _pay(self, seconds: float) -> None:
        parts, first = urlsplit(self._product.api.url), self._sent
        report = await drive(
            Plan(
                host=parts.hostname or "",
                port=parts.port or 0,
                request=lambda sequence: self._requests(first + sequence),
                connections=max(LEAST_CONNECTIONS, round(self._rate_per_s)),
                duration_s=seconds,
                rate_per_s=self._rate_per_s,
                receive=self._note,
            )
        )
        self._sent += report.due
        self._errors.update(report.errors)

    def _note(self, answer: Answer) -> None:
        paid = _decode(answer.body)
        self._answers.append((answer.status, paid.payment_id))
        self._recent.append(paid.gateway or "" if paid.attempts == 1 else "")

    def _busiest(self) -> str:
        ((gateway, _),) = Counter(one for one in self._recent if one).most_common(1)
        return gateway

    async def _break(self, gateway: str) -> Profile:
        """Returns how it was."""
        (healthy,) = (profile for profile in self._case.profiles if profile.gateway == gateway)
        healthy = telling(healthy, f"{self._product.api.url}/gateway-notifications")
        broken = replace(healthy, success_rate=BROKEN_RATE, declines=(GATEWAY,))
        await self._client.set_profile(**plain(broken))
        return healthy

    async def _until_back(self, gateway: str, give_up_s: float) -> None:
        """And a while longer, so that there are payments to judge by."""
        self._recent.clear()
        while time.time() < give_up_s:
            await self._pay(PIECE_S)
            if self._recent.count(gateway) >= self._judged_by / 2:
                return

    @asynccontextmanager
    async def _watching(self, gateway: str) -> AsyncIterator[None]:
        """The changes of the gateway's circuit, as an API process shows them."""
        path = f"/circuit-breaker/status?gateway={gateway}&method={self._case.method}"

        async def look() -> None:
            while True:
                (circuit,) = (await self._client.get(path)).body["circuits"]
                if not self._changes or self._changes[-1][1] != circuit["status"]:
                    self._changes.append((time.time(), circuit["status"]))
                await asyncio.sleep(LOOK_EVERY_S)

        looking = asyncio.create_task(look())
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    def _since(self, status: str, begin_s: float) -> float | None:
        """Until the circuit was first seen to become so after that moment."""
        found = (at - begin_s for at, one in self._changes if one == status and at >= begin_s)
        return next((round(seconds, 2) for seconds in found), None)

    async def _firsts(self) -> list[First]:
        found = []
        for records in (await read_topic(self._product.stack)).values():
            started = next(
                (r for r in records if isinstance(r.event, AttemptStarted) and not r.is_void), None
            )
            if started is not None and isinstance(started.event, AttemptStarted):
                found.append((started.stamp_ms / 1000, str(started.event.gateway)))
        return sorted(found)

    async def _unsettled(self) -> int:
        """Once none is, or the time is up."""
        give_up_at = time.monotonic() + SETTLED_WITHIN_S
        connection = await asyncpg.connect(self._product.stack.env["DATABASE_URL"])
        try:
            await asyncio.sleep(1)
            while (unsettled := await connection.fetchval(_UNSETTLED)) and time.monotonic() < give_up_at:  # noqa: ASYNC110  # others settle them
                await asyncio.sleep(0.5)
            return int(unsettled)
        finally:
            await connection.close()

    async def _with_all_charges(self) -> list[tuple[int, str]]:
        """Also a charge that was settled after its answer, or whose answer never came, must be known to us."""
        charged = (one["reference"] for one in await self._client.ledger() if one["status"] == "captured")
        return [*self._answers, *((201, f"pay_{reference[4:30]}") for reference in charged)]


def _show(drills: Sequence[Drill], machine: Machine, console: Console) -> None:
    table = Table("what", *(f"{drill.rate_per_s:g}/s" for drill in drills), title="a gateway breaks")
    for name, *values in zip(*map(_column, drills), strict=True):
        table.add_row(name[0], *(value for _, value in (name, *values)))
    console.print(table)
    console.print(machine.sentence(), soft_wrap=True)


def _column(drill: Drill) -> list[tuple[str, str]]:
    wanted = "" if drill.wanted_s is None else f" (asked for: {drill.wanted_s:g} s)"
    return [
        ("the gateway, and its share before", f"{drill.gateway}, {drill.share_before:.0%}"),
        (
            "left after its first call",
            ("never" if drill.left is None else f"{drill.left.seconds:.2f} s") + wanted,
        ),
        ("calls until then", "" if drill.left is None else f"{drill.left.calls}"),
        ("first tried there, of the outage's payments", f"{drill.first_tried} of {drill.payments}"),
        ("circuit seen open after the first call", _seconds(drill.opened_s)),
        ("circuit closed after the repair", _seconds(drill.closed_after_repair_s)),
        ("half of its share again after the repair", _seconds(drill.taken_again_s)),
        ("answers of the outage", ", ".join(f"{status}: {n}" for status, n in drill.statuses.items())),
        ("not answered", ", ".join(f"{name}: {n}" for name, n in drill.errors.items()) or "0"),
        ("lost / doubled / unsettled", f"{drill.audit.lost} / {drill.audit.doubled} / {drill.unsettled}"),
    ]


def _seconds(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.2f} s"
