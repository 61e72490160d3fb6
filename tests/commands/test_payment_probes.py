"""What the payment's decider makes of circuits, probes and segments."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.payment import decide
from commands.payment_state import INITIAL
from schemas.errors import Refused
from schemas.ids import GatewayId
from schemas.payment import (
    AttemptDeclined,
    AttemptStarted,
    PaymentEvent,
    PaymentFailed,
    PaymentRouted,
    RequestPayment,
)
from schemas.routing import Facts, Probe
from schemas.routing_configuration import RoutingConfiguration, Segmentation
from tests.builders import a_request, in_doubt, not_sent, retryable_decline, the_outcome
from tests.commands.routes import NAMES, circuits, requests
from tests.commands.rules import ALPHA, BETA, GAMMA, exclude, rules
from tests.spec import decided

PROBE = Probe(gateway=BETA, lease="3.1")
PROBED = replace(a_request(), facts=Facts(circuits=circuits({BETA: "HALF_OPEN"})), probe=PROBE)


def started_by(events: list[PaymentEvent]) -> AttemptStarted | None:
    return next((event for event in events if isinstance(event, AttemptStarted)), None)


def first_of(request: RequestPayment) -> AttemptStarted:
    started = started_by(decide(request, INITIAL))
    assert started is not None
    return started


def another_after(request: RequestPayment, *shut: GatewayId) -> AttemptStarted | None:
    outcome = replace(the_outcome(retryable_decline()), shut=frozenset(shut))
    return started_by(decided(outcome, *decide(request, INITIAL)))


def test_an_attempt_that_is_a_probe_carries_its_lease() -> None:
    started = first_of(PROBED)
    assert (started.gateway, started.probe) == (BETA, "3.1")


def test_an_attempt_that_is_none_carries_no_lease() -> None:
    assert first_of(replace(PROBED, probe=None)).probe is None
    assert first_of(replace(PROBED, facts=Facts())).probe is None


def test_a_probes_outcome_is_accounted_to_its_lease() -> None:
    history = decide(PROBED, INITIAL)
    event = decided(the_outcome(retryable_decline()), *history)[0]
    assert isinstance(event, AttemptDeclined)
    assert event.account is not None
    assert event.account.probe == "3.1"


def test_another_attempt_after_a_probe_is_no_probe() -> None:
    another = another_after(PROBED)
    assert another is not None
    assert (another.gateway, another.probe) == (ALPHA, None)


def test_another_attempt_passes_over_a_circuit_that_has_opened_since() -> None:
    another = another_after(a_request(), BETA)
    assert another is not None
    assert another.gateway == GAMMA


def test_a_payment_fails_where_all_other_circuits_have_opened_since() -> None:
    outcome = replace(the_outcome(not_sent()), shut=frozenset({BETA, GAMMA}))
    events = decided(outcome, *decide(a_request(), INITIAL))
    assert isinstance(events[-1], PaymentFailed)


def test_attempts_carry_the_segment_that_they_were_routed_under() -> None:
    segmentation = Segmentation(
        dimensions=("payment_method", "merchant_tier"), merchant_tiers={"mrc_1": "gold"}
    )
    request = replace(a_request(), facts=Facts(configuration=RoutingConfiguration(segmentation=segmentation)))
    another = another_after(request)
    assert another is not None
    for started in (first_of(request), another):
        assert started.dimensions is not None
        assert started.dimensions.segment == "UPI:gold"


def test_the_segment_of_the_method_as_a_whole_is_not_written_down() -> None:
    dimensions = first_of(a_request()).dimensions
    assert dimensions is not None
    assert dimensions.segment is None


def test_a_probe_for_a_gateway_that_a_rule_excludes_is_not_made() -> None:
    configuration = RoutingConfiguration(rules=rules(exclude(BETA)))
    started = first_of(replace(PROBED, facts=replace(PROBED.facts, configuration=configuration)))
    assert (started.gateway, started.probe) == (ALPHA, None)


@given(requests())
@settings(max_examples=60, deadline=None)
def test_a_lease_is_carried_to_its_own_gateway_only_and_the_first_candidate_is_tried_first(
    request: RequestPayment,
) -> None:
    try:
        events = decide(request, INITIAL)
    except Refused:
        return
    started, routed = started_by(events), next(one for one in events if isinstance(one, PaymentRouted))
    assert started is not None
    assert started.gateway == routed.candidates[0].gateway
    assert (started.probe is not None) == (routed.strategy == "PROBE")
    if started.probe is not None:
        assert request.probe == Probe(gateway=started.gateway, lease=started.probe)


@given(
    st.lists(
        st.tuples(
            st.sampled_from([retryable_decline(), not_sent(), in_doubt()]),
            st.frozensets(st.sampled_from(NAMES)),
        ),
        max_size=4,
    ),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_another_attempt_never_goes_to_an_open_circuit(
    story: list[tuple[object, frozenset[GatewayId]]], retries_doubt: bool
) -> None:
    request = a_request()
    request = replace(request, policy=replace(request.policy, retry_on_timeout=retries_doubt))
    history = decide(request, INITIAL)
    for number, (outcome, shut) in enumerate(story, start=1):
        command = replace(the_outcome(outcome, of=number), shut=shut)  # type: ignore[arg-type]
        events = decided(command, *history)
        begun = started_by(events)
        assert begun is None or (begun.gateway not in shut and begun.probe is None)
        history += events
