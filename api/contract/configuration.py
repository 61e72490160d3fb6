"""How routing is configured, tried out and seen; circuits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, get_args

from msgspec.structs import fields

from api.bandit_state import BanditState
from api.circuits import CircuitAnswer, CircuitsAnswer, Order
from api.configuration_answers import (
    BanditPoliciesAnswer,
    BanditPolicyAnswer,
    RoutingRulesAnswer,
    ScoringWeightsAnswer,
    SegmentationAnswer,
    ShadowPolicyAnswer,
)
from api.contract.common import (
    ETAG,
    GATEWAY,
    IF_MATCH,
    IF_NONE_MATCH,
    NOT_CHANGED,
    OF_A_STORE,
    OF_A_VERSION,
    OF_SETTING,
    OF_THE_LOG,
)
from api.contract.operation import Answer, Body, Operation, Parameter
from api.dry_run import DryRunAnswer
from api.errors import Fault
from api.scoring import Context, Scores
from schemas.circuit import OrderBody
from schemas.errors import Refusal
from schemas.instrument import PaymentMethod
from schemas.metrics import GatewayFigures
from schemas.routing_bodies import (
    BanditPolicyBody,
    DryRunBody,
    RoutingRulesBody,
    ScoringWeightsBody,
    SegmentationBody,
    ShadowPolicyBody,
)

_METHOD = Parameter(
    name="method", place="path", type=PaymentMethod, says="The payment method.", required=True, example="CARD"
)
_SEGMENT = Parameter(
    name="segment",
    place="path",
    type=str,
    says="The segment's name, or `*` for every segment without a policy of its own.",
    required=True,
    example="UPI",
)


def _document(
    name: str, path: str, says: str, answer: Any, body: Any, example: Mapping[str, Any]
) -> tuple[Operation, Operation]:
    """What is configured as a whole: read, and set instead of the version that was looked at."""
    shown = Answer(says="As it is in force.", type=answer, headers=(ETAG,))
    return (
        Operation(
            id=f"show_{name}",
            method="GET",
            path=path,
            tag="configuration",
            says=says,
            scope="read",
            parameters=(IF_NONE_MATCH,),
            answers={200: shown, 304: NOT_CHANGED},
            problems=OF_THE_LOG,
        ),
        Operation(
            id=f"set_{name}",
            method="PUT",
            path=path,
            tag="configuration",
            says=f"{says} All of it is set at once; in force everywhere within 500 ms.",
            scope="configuration",
            parameters=(IF_MATCH,),
            body=Body(type=body, example=example),
            answers={200: shown},
            problems=(*OF_A_VERSION, *OF_SETTING),
        ),
    )


def _policy(verb: str, says: str) -> Operation:
    return Operation(
        id=f"{verb}_bandit",
        method="POST",
        path=f"/bandit/policy/{{segment}}/{verb}",
        tag="configuration",
        says=f"{says} Without If-Match it is set instead of whatever is in force.",
        scope="configuration",
        parameters=(_SEGMENT, replace(IF_MATCH, required=False, example=None)),
        body=Body(type=BanditPolicyBody, example={"by": "asha", "note": "a trial"}, required=False),
        answers={200: Answer(says="As it is in force.", type=BanditPolicyAnswer, headers=(ETAG,))},
        problems=(Refusal.SEGMENT_NOT_FOUND, Fault.MALFORMED_HEADER, Refusal.STALE_VERSION, *OF_SETTING),
    )


def _order(order: str) -> Operation:
    return Operation(
        id=order.replace("-", "_") + "_circuit",
        method="POST",
        path=f"/circuit-breaker/{order}/{{gateway}}/{{method}}",
        tag="circuits",
        says="An operator's word about a circuit; `release` ends it.",
        scope="circuits",
        parameters=(GATEWAY, _METHOD),
        body=Body(type=OrderBody, example={"note": "their maintenance", "by": "asha"}, required=False),
        answers={200: Answer(says="In force.", type=CircuitAnswer)},
        problems=(Fault.CIRCUIT_NOT_FOUND, Fault.CIRCUIT_NOT_CONFIRMED, *OF_THE_LOG),
    )


def _filter(name: str, type: Any, says: str, example: str) -> Parameter:
    return Parameter(name=name, place="query", type=type, says=says, example=example)


_PROPOSED = {
    "id": "no-payu-for-large-ones",
    "when": {"minimum_amount_minor": 10_000_000},
    "then": {"type": "exclude", "gateways": ["payu"]},
}

OPERATIONS = (
    *_document(
        "routing_rules",
        "/routing-rules",
        "Rules that come before scores, in order.",
        RoutingRulesAnswer,
        RoutingRulesBody,
        {"rules": [_PROPOSED], "by": "asha", "note": "their limit"},
    ),
    *_document(
        "scoring_weights",
        "/scoring/weights",
        "What each term of a score is worth, and affinities.",
        ScoringWeightsAnswer,
        ScoringWeightsBody,
        {"weights": {"cost": 0.001}, "by": "asha", "note": "fees matter more"},
    ),
    *_document(
        "segmentation",
        "/bandit/segmentation",
        "Which payments learn together.",
        SegmentationAnswer,
        SegmentationBody,
        {
            "dimensions": ["payment_method", "merchant_tier"],
            "merchant_tiers": {"m_001": "gold"},
            "by": "asha",
        },
    ),
    *_document(
        "shadow_policy",
        "/shadow-policy",
        "What is computed beside every route, told on shadow.events.v1, and obeyed by nobody.",
        ShadowPolicyAnswer,
        ShadowPolicyBody,
        {"policy": {"weights": {"cost": 0.002}}, "by": "asha", "note": "would fees move much?"},
    ),
    Operation(
        id="page_bandit_policies",
        method="GET",
        path="/bandit/policy",
        tag="configuration",
        says="Where the bandit may explore, and at what cost.",
        scope="read",
        answers={200: Answer(says="As it is in force.", type=BanditPoliciesAnswer)},
        problems=OF_THE_LOG,
    ),
    _policy("enable", "Let the bandit explore in a segment."),
    _policy("disable", "Let scores alone choose in a segment."),
    Operation(
        id="dry_run",
        method="POST",
        path="/routing-rules/dry-run",
        tag="configuration",
        says="The route that a payment would get now, or under rules that are only proposed, without making it.",
        scope="read",
        body=Body(
            type=DryRunBody,
            example={
                "amount_minor": 20_000_000,
                "currency": "INR",
                "payment_method": "CARD",
                "merchant_id": "m_001",
                "customer_id": "cust_001",
                "instrument": {"type": "CARD", "token": "tok_123456", "bin": "411111", "last4": "1111"},
                "rules": [_PROPOSED],
            },
        ),
        answers={200: Answer(says="The route.", type=DryRunAnswer)},
        problems=(Fault.MALFORMED_HEADER, *OF_THE_LOG),
    ),
    Operation(
        id="show_scores",
        method="GET",
        path="/scoring/debug",
        tag="routing",
        says="Where a payment would go now, with every term of every score. Where merchants have keys, one of them is "
        "shown to itself and to operators.",
        shows_more_to="read",
        parameters=tuple(
            Parameter(
                name=field.name,
                place="query",
                type=field.type,
                says="Of the payment that is thought of.",
                required=field.required,
                example="UPI" if field.required else None,
            )
            for field in fields(Context)
        ),
        answers={200: Answer(says="The scores.", type=Scores)},
        problems=(Fault.MALFORMED_QUERY,),
    ),
    Operation(
        id="show_bandit",
        method="GET",
        path="/bandit/state",
        tag="routing",
        says="What is believed of every gateway in every segment, and how likely each is to be drawn.",
        parameters=(_filter("segment", str, "Only this segment.", "UPI"),),
        answers={200: Answer(says="What this process believes.", type=BanditState)},
    ),
    Operation(
        id="show_gateway_metrics",
        method="GET",
        path="/metrics/gateways/{name}",
        tag="gateways",
        says="Success rates, latencies and errors of a gateway over 1, 5, 15 and 60 minutes.",
        parameters=(replace(GATEWAY, name="name"),),
        answers={200: Answer(says="As they were published last.", type=GatewayFigures)},
        problems=(Fault.NO_SUCH_GATEWAY, *OF_A_STORE),
    ),
    Operation(
        id="show_circuits",
        method="GET",
        path="/circuit-breaker/status",
        tag="circuits",
        says="Which gateways are avoided for which payment methods, why and until when; `by` and `note` for operators.",
        shows_more_to="read",
        parameters=(
            _filter("gateway", str, "Only this gateway.", "razorpay"),
            _filter("method", PaymentMethod, "Only this payment method.", "UPI"),
        ),
        answers={200: Answer(says="As this process knows them.", type=CircuitsAnswer)},
        problems=(Fault.MALFORMED_QUERY,),
    ),
    *(_order(order) for order in get_args(Order)),
)
