"""`GET /scoring/debug`: why a payment would go where it would go now, with every term of every score.

Where merchants have keys, how the payments of one are routed is for it and for operators who may read; what operators
have written is for these alone.
"""

from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.admin import Admin
from api.answers import json_response
from api.errors import Fault, Rejected
from api.merchant_keys import MerchantKeys, require_own
from commands.ports import RoutingFacts
from commands.routing.route import route
from schemas.base import Body, Value
from schemas.circuit import CircuitView
from schemas.ids import GatewayId
from schemas.instrument import (
    CardMasked,
    MaskedInstrument,
    NetbankingMasked,
    PaymentMethod,
    Slug,
    UpiMasked,
    WalletMasked,
)
from schemas.money import EXPONENTS
from schemas.payment import Order
from schemas.routing import Candidate, Excluded, Strategy, Versions
from schemas.routing_configuration import BanditPolicy, ScoringWeights

ANY_MERCHANT = "any"
Merchant = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._:-]{1,64}$(?!\n)")]


class Context(Body, frozen=True, kw_only=True):
    """The parameters of the query. Where merchants have keys, `merchant_id` needs one; `issuer` is a UPI handle, the
    first six digits of a card, or the code of a bank or wallet."""

    payment_method: PaymentMethod
    amount_minor: Annotated[int, Meta(gt=0, le=10**15)] = 100_000
    currency: str = "INR"
    merchant_id: Merchant = ANY_MERCHANT
    issuer: Slug | None = None
    network: Slug | None = None


class Scores(Value, frozen=True, kw_only=True):
    """As a payment of this context would be routed now. Where chance decides, the best score is shown first, and each
    candidate has its propensity."""

    strategy: Strategy
    reason: str
    candidates: tuple[Candidate, ...]
    excluded: tuple[Excluded, ...]
    segment: str
    weights: ScoringWeights
    bandit: BanditPolicy | None
    """None where the segment's bandit is off."""
    rule: str | None
    """The id of the one that came before the scores; what rules say is for operators."""
    versions: Versions
    circuits: dict[GatewayId, CircuitView]


class ScoringRoutes:
    def __init__(self, admin: Admin, merchant_keys: MerchantKeys, facts: RoutingFacts) -> None:
        self._admin = admin
        self._merchant_keys = merchant_keys
        self._facts = facts

    def routes(self) -> list[Route]:
        return [Route("/scoring/debug", self.show, methods=["GET"])]

    async def show(self, request: Request) -> Response:
        context = _context(request)
        if context.merchant_id != ANY_MERCHANT:
            require_own(self._merchant_keys.admit_reader(request), context.merchant_id)
        shown = _whole if self._admin.may_read(request) else _without_words
        facts, gateways = self._facts.facts(), self._facts.gateways()
        routed = route(_order(context), gateways, self._facts.retry_policy(context.merchant_id), facts)
        decision = routed.decision
        assert decision is not None
        return json_response(
            Scores(
                strategy=routed.strategy,
                reason=routed.reason,
                candidates=routed.candidates,
                excluded=routed.excluded,
                segment=decision.segment,
                weights=decision.weights,
                bandit=decision.bandit,
                rule=decision.rule.id if decision.rule is not None else None,
                versions=decision.versions,
                circuits={one.id: shown(facts.circuit(one.id, context.payment_method)) for one in gateways},
            )
        )


def _whole(circuit: CircuitView) -> CircuitView:
    return circuit


def _without_words(circuit: CircuitView) -> CircuitView:
    return replace(circuit, by=None, note=None)


def _context(request: Request) -> Context:
    """Raises Rejected, naming the parameter, and none of what the client sent."""
    given = dict(request.query_params)
    if not given.keys() <= set(Context.__struct_fields__):
        known = ", ".join(Context.__struct_fields__)
        raise Rejected(Fault.MALFORMED_QUERY, f"The parameters are {known}.")
    try:
        context = msgspec.convert(given, Context, strict=False)
    except msgspec.ValidationError as error:
        wrong = next(
            (name for name in Context.__struct_fields__ if f"$.{name}`" in str(error)), "payment_method"
        )
        raise Rejected(Fault.MALFORMED_QUERY, f"{wrong} is missing, or is not what it has to be.") from None
    if context.currency not in EXPONENTS:
        raise Rejected(Fault.MALFORMED_QUERY, "currency is a code of ISO 4217.")
    return context


def _order(context: Context) -> Order:
    return Order(
        merchant_id=context.merchant_id,
        customer_id="any",
        amount_minor=context.amount_minor,
        currency=context.currency,
        payment_method=context.payment_method,
        instrument=_instrument(context),
    )


def _instrument(context: Context) -> MaskedInstrument:
    match context.payment_method:
        case "UPI":
            return UpiMasked(handle=context.issuer)
        case "CARD":
            return CardMasked(bin=context.issuer or "", network=context.network)
        case "NETBANKING":
            return NetbankingMasked(bank_code=context.issuer or "")
        case "WALLET":
            return WalletMasked(wallet=context.issuer or "")
