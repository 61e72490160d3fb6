"""The side of the simulator that no real gateway has: behaviour may be changed, and the truth may be read."""

from collections.abc import Callable
from itertools import islice
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from infra.gateways.simulator.answering import LookUps
from infra.gateways.simulator.charges import charge_answer
from infra.gateways.simulator.ledger import Charge, Ledger
from infra.gateways.simulator.outcome import latent
from infra.gateways.simulator.profile import Profile
from infra.gateways.simulator.wire import Receive, Reference, Refused, Scope, Send, answer, read_body

LARGEST_PAGE = 1_000
MOST_SCANNED = 20_000
MOST_GATEWAYS = 100


class LedgerQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`after` is the `next` of the page before. `prefix` is the beginning of a reference."""

    gateway: str | None = None
    reference: str | None = None
    prefix: str = ""
    limit: Annotated[int, Meta(ge=1, le=LARGEST_PAGE)] = 100
    after: Annotated[int, Meta(ge=0)] = 0

    def wants(self, charge: Charge) -> bool:
        request = charge.request
        return (
            self.gateway in (None, request.gateway)
            and self.reference in (None, request.reference)
            and request.reference.startswith(self.prefix)
        )


class LatentQuery(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    reference: Reference


Q = TypeVar("Q", LedgerQuery, LatentQuery)


class Control:
    """`forget` empties the books of every wire."""

    def __init__(
        self, profiles: dict[str, Profile], ledger: Ledger, look_ups: LookUps, forget: Callable[[], None]
    ) -> None:
        self.profiles = profiles
        self.ledger = ledger
        self._look_ups = look_ups
        self._forget = forget

    async def serve(self, path: list[str], scope: Scope, receive: Receive, send: Send) -> None:
        """`path` is what follows `/control/`."""
        match (scope["method"], *path):
            case ("GET", "health"):
                content: object = {"status": "ok"}
            case ("GET", "gateways"):
                content = {"gateways": list(self.profiles.values())}
            case ("GET", "gateways", name) if name in self.profiles:
                content = self.profiles[name]
            case ("PUT", "gateways", name):
                content = self._put(name, await read_body(receive))
            case ("GET", "latent"):
                content = self._latent(_query(scope, LatentQuery).reference)
            case ("GET", "ledger"):
                content = self._page(_query(scope, LedgerQuery))
            case ("GET", "ledger", "summary"):
                content = self.ledger.summary() | {"most_look_ups_at_once": self._look_ups.most}
            case ("DELETE", "ledger"):
                self._forget()
                content = {"status": "cleared"}
            case _:
                raise Refused(404, "not_found", "the simulator has no such control")
        await answer(send, 200, content)

    def _put(self, name: str, body: bytes) -> Profile:
        """The whole profile at once: what the body leaves out takes its default, not its former value."""
        try:
            profile = msgspec.json.decode(body, type=Profile)
            named = msgspec.convert(msgspec.to_builtins(replace(profile, gateway=name)), Profile)
        except (msgspec.MsgspecError, ValueError) as error:
            raise Refused(400, "bad_profile", str(error)) from error
        if not name or profile.gateway not in ("", name):
            raise Refused(400, "bad_profile", f"the path says {name!r}, the body {profile.gateway!r}")
        if name not in self.profiles and len(self.profiles) >= MOST_GATEWAYS:
            raise Refused(400, "too_many_gateways", f"there may be {MOST_GATEWAYS} gateways")
        self.profiles[name] = named
        return named

    def _latent(self, reference: str) -> dict[str, object]:
        """What each gateway, as it behaves now, would do with the reference; asking changes nothing."""
        return {name: latent(profile, reference) for name, profile in self.profiles.items()}

    def _page(self, query: LedgerQuery) -> dict[str, object]:
        """A page ends when it is full or has read enough: only `next: null` means that there is no more."""
        wanted: list[dict[str, object]] = []
        sequence = query.after
        for charge in islice(self.ledger.after(query.after), MOST_SCANNED):
            sequence = charge.sequence
            if query.wants(charge):
                wanted.append(_charge_truth(charge))
                if len(wanted) == query.limit:
                    break
        more = next(self.ledger.after(sequence), None) is not None
        return {"charges": wanted, "next": sequence if more else None}


def _query(scope: Scope, shape: type[Q]) -> Q:
    fields = dict(parse_qsl(scope["query_string"].decode("latin-1")))
    try:
        return msgspec.convert(fields, shape, strict=False)
    except msgspec.ValidationError as error:
        raise Refused(400, "bad_query", str(error)) from error


def _charge_truth(charge: Charge) -> dict[str, object]:
    truth: dict[str, Any] = msgspec.to_builtins(charge_answer(charge))
    request = charge.request
    return truth | {
        "sequence": charge.sequence,
        "gateway": request.gateway,
        "method": request.method,
        "requested": request.times,
        "charged_at_ms": charge.charged_at_ms,
        "statuses": charge.statuses,
    }
