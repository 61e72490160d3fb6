"""What operators set of gateways, of merchants and at once, who did, and whom they forget."""

from dataclasses import replace
from typing import Annotated

from msgspec import Meta

from api.audit import AuditAnswer
from api.configuration_answers import (
    GatewayAnswer,
    GatewaysAnswer,
    KillSwitchAnswer,
    KillSwitchesAnswer,
    RetryPolicyAnswer,
)
from api.contract.common import (
    ETAG,
    GATEWAY,
    IF_MATCH,
    IF_NONE_MATCH,
    LIMIT,
    NOT_CHANGED,
    OF_A_STORE,
    OF_A_VERSION,
    OF_SETTING,
    OF_THE_LOG,
    PREFER_WAIT,
    PREFERENCE_APPLIED,
)
from api.contract.operation import Answer, Body, Operation, Parameter
from api.errors import Fault
from schemas.errors import Refusal
from schemas.experiment_bodies import ReasonBody
from schemas.http import PartyId
from schemas.routing_bodies import GatewayBody, KillSwitchBody, RetryPolicyBody

_ONE_GATEWAY = "/gateways/{id}"
_ID = replace(GATEWAY, name="id")
_GATEWAY_SHOWN = Answer(says="As it is in force.", type=GatewayAnswer, headers=(ETAG,))

_ONE_POLICY = "/retry-policy/{merchant_id}"
_MERCHANT = Parameter(
    name="merchant_id",
    place="path",
    type=PartyId,
    says="The merchant's id.",
    required=True,
    example="m_001",
)
_POLICY_SHOWN = Answer(says="As it is in force.", type=RetryPolicyAnswer, headers=(ETAG,))
_OF_A_POLICY = (Fault.NO_SUCH_MERCHANT, *OF_A_VERSION, *OF_SETTING)

_AT_MOST_200 = Annotated[str, Meta(min_length=1, max_length=200)]

OPERATIONS = (
    Operation(
        id="page_gateways",
        method="GET",
        path="/gateways",
        tag="gateways",
        says="All gateways, and what is set of them.",
        scope="read",
        answers={200: Answer(says="As they are in force.", type=GatewaysAnswer)},
        problems=OF_THE_LOG,
    ),
    Operation(
        id="show_gateway",
        method="GET",
        path=_ONE_GATEWAY,
        tag="gateways",
        says="A gateway, and what is set of it.",
        scope="read",
        parameters=(_ID, IF_NONE_MATCH),
        answers={200: _GATEWAY_SHOWN, 304: NOT_CHANGED},
        problems=(Fault.NO_SUCH_GATEWAY, *OF_THE_LOG),
    ),
    Operation(
        id="set_gateway",
        method="PATCH",
        path=_ONE_GATEWAY,
        tag="gateways",
        says="What is left out stays; what is null is again as the gateway is configured.",
        scope="configuration",
        parameters=(_ID, IF_MATCH),
        body=Body(type=GatewayBody, example={"fee_bps": 180, "by": "asha", "note": "a new contract"}),
        answers={200: _GATEWAY_SHOWN},
        problems=(Fault.NO_SUCH_GATEWAY, Refusal.NO_GATEWAY_LEFT, *OF_A_VERSION, *OF_SETTING),
    ),
    Operation(
        id="show_retry_policy",
        method="GET",
        path=_ONE_POLICY,
        tag="merchants",
        says="How often and how long a merchant's payments are tried.",
        scope="read",
        parameters=(_MERCHANT, IF_NONE_MATCH),
        answers={200: _POLICY_SHOWN, 304: NOT_CHANGED},
        problems=(Fault.NO_SUCH_MERCHANT, *OF_THE_LOG),
    ),
    Operation(
        id="set_retry_policy",
        method="PUT",
        path=_ONE_POLICY,
        tag="merchants",
        says="What is left out is as in the default.",
        scope="configuration",
        parameters=(_MERCHANT, IF_MATCH),
        body=Body(type=RetryPolicyBody, example={"max_attempts": 2, "by": "asha", "note": "as they wish"}),
        answers={200: _POLICY_SHOWN},
        problems=_OF_A_POLICY,
    ),
    Operation(
        id="unset_retry_policy",
        method="DELETE",
        path=_ONE_POLICY,
        tag="merchants",
        says="The merchant has the default again.",
        scope="configuration",
        parameters=(_MERCHANT, IF_MATCH),
        body=Body(type=ReasonBody, example={"by": "asha", "note": "the trial is over"}, required=False),
        answers={200: _POLICY_SHOWN},
        problems=_OF_A_POLICY,
    ),
    Operation(
        id="page_kill_switches",
        method="GET",
        path="/kill-switches",
        tag="kill switches",
        says="All that were ever on.",
        scope="read",
        answers={200: Answer(says="As they are now.", type=KillSwitchesAnswer)},
        problems=OF_THE_LOG,
    ),
    Operation(
        id="turn_kill_switch",
        method="POST",
        path="/kill-switches",
        tag="kill switches",
        says="Switch a gateway, a payment method, a merchant or a strategy off, or on again. Without If-Match at once.",
        scope="configuration",
        parameters=(replace(IF_MATCH, required=False, example=None),),
        body=Body(
            type=KillSwitchBody,
            example={"kind": "gateway", "name": "payu", "on": True, "by": "asha", "note": "it charges twice"},
        ),
        answers={200: Answer(says="In force.", type=KillSwitchAnswer, headers=(ETAG,))},
        problems=(Fault.MALFORMED_HEADER, Refusal.STALE_VERSION, *OF_SETTING),
    ),
    Operation(
        id="page_audit",
        method="GET",
        path="/audit",
        tag="audit",
        says="Who has changed what, when, why and by which request; the newest first.",
        scope="read",
        parameters=(
            Parameter(
                name="aggregate",
                place="query",
                type=_AT_MOST_200,
                says="Only of this: `gateway:` and an id, an experiment's id …",
                example="routing-rules",
            ),
            Parameter(name="by", place="query", type=_AT_MOST_200, says="Only by them.", example="asha"),
            Parameter(
                name="after",
                place="query",
                type=Annotated[str, Meta(pattern=r"^[0-9]{1,15}-[a-z0-9.]{1,64}-[0-9]{1,3}:[0-9]{1,18}$")],
                says="The `next` of the page before.",
            ),
            LIMIT,
            PREFER_WAIT,
        ),
        answers={200: Answer(says="A page.", type=AuditAnswer, headers=(PREFERENCE_APPLIED,))},
        problems=(Fault.MALFORMED_QUERY, Fault.MALFORMED_HEADER, *OF_A_STORE, *OF_THE_LOG),
    ),
    Operation(
        id="forget_customer",
        method="DELETE",
        path="/customers/{customer_id}/data",
        tag="customers",
        says="From now on nobody can tell whose the payments were. To forget whom nobody knows is well, too.",
        scope="data",
        parameters=(
            Parameter(
                name="customer_id",
                place="path",
                type=PartyId,
                says="As the merchant names the customer.",
                required=True,
                example="cust_001",
            ),
            replace(_MERCHANT, place="query", says="Whose customer it is."),
        ),
        body=Body(type=ReasonBody, example={"by": "asha", "note": "ticket 4711"}, required=False),
        answers={204: Answer(says="The customer is forgotten.", media_type=None)},
        problems=(Fault.NO_SUCH_CUSTOMER, Fault.MALFORMED_QUERY, *OF_A_STORE, *OF_THE_LOG),
    ),
)
