"""What is configured, by the log; and what may be set instead."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from commands.routing.configuration import INITIAL, Configured, Setting, decide, evolve, is_void
from commands.routing.kill_switches import is_on
from schemas.codec import CONFIGURATION_TOPIC
from schemas.configuration import (
    BanditPolicySet,
    GatewaySet,
    Heard,
    KillSwitchTurnedOff,
    KillSwitchTurnedOn,
    ReservationStoreAdopted,
    RetryPolicySet,
    RoutingRulesSet,
    ScoringWeightsSet,
    SegmentationSet,
    SetBanditPolicy,
    SetGateway,
    SetRetryPolicy,
    SetRoutingRules,
    SetScoringWeights,
    SetSegmentation,
    TurnKillSwitch,
    UnreadSet,
    kill_switch,
)
from schemas.customer import CustomerForgotten
from schemas.envelope import ALWAYS, Envelope, Position, Recorded, Window
from schemas.errors import Refusal, Refused
from schemas.gateway import NO_TERMS, GatewayTerms
from schemas.ids import GatewayId
from schemas.instrument import PAYMENT_METHODS
from schemas.routing_configuration import (
    BanditPolicy,
    GatewaySwitch,
    KillSwitch,
    MerchantRetryPolicy,
    MerchantSwitch,
    MethodSwitch,
    RoutingConfiguration,
    RoutingRules,
    ScoringWeights,
    Segmentation,
    StrategySwitch,
)
from tests.builders import AT, CUSTOMER, a_gateway
from tests.commands.rules import ALPHA, BETA, pin, rules
from tests.commands.test_webhook_subscription import ONE, subscribed, unsubscribed

ADOPTED = ReservationStoreAdopted(system_identifier="1", timeline=1)
FORGOTTEN = CustomerForgotten(customer=CUSTOMER, merchant_id="m_001", by="asha", note="")
PINNED = rules(pin())
ENABLED = BanditPolicy(enabled=True)


def rules_set(given: RoutingRules = PINNED, *, instead_of: int = 0) -> RoutingRulesSet:
    return RoutingRulesSet(rules=given, by="asha", note="a contract", instead_of_version=instead_of)


def policy_set(segment: str, *, instead_of: int = 0, policy: BanditPolicy = ENABLED) -> BanditPolicySet:
    return BanditPolicySet(segment=segment, policy=policy, by="asha", note="", instead_of_version=instead_of)


def set_rules(given: RoutingRules = PINNED, *, instead_of: int = 0) -> SetRoutingRules:
    return SetRoutingRules(
        rules=given, gateways=(), by="asha", note="a contract", instead_of_version=instead_of
    )


def on_the_log(*events: Heard) -> list[Recorded[Heard]]:
    return [
        Recorded(
            envelope=Envelope(
                event_id=f"evt_{offset}",
                aggregate_id="a",
                sequence=1,
                at=AT,
                epoch=1,
                window=ALWAYS,
                correlation_id="req_1",
                causation_id="req_1",
            ),
            event=event,
            position=Position(topic=CONFIGURATION_TOPIC, partition=0, offset=offset),
            stamp_ms=1_000,
        )
        for offset, event in enumerate(events)
    ]


def folded(records: Sequence[Recorded[Heard]]) -> Configured:
    configured = INITIAL
    for record in records:
        configured = evolve(configured, record)
    return configured


def after(*events: Heard) -> Configured:
    return folded(on_the_log(*events))


def test_before_anything_was_set_the_defaults_are_in_force() -> None:
    assert after() == INITIAL
    assert after().routing == RoutingConfiguration()
    assert after().setting("routing-rules") == Setting(version=0, by=None, note=None, at=None)


def test_what_is_set_is_in_force_with_its_offset_and_who_set_it() -> None:
    configured = after(ADOPTED, FORGOTTEN, rules_set())
    assert configured.routing == RoutingConfiguration(version=3, rules=PINNED)
    assert configured.setting("routing-rules") == Setting(version=3, by="asha", note="a contract", at=AT)


def test_each_kind_has_a_version_of_its_own() -> None:
    weights, segmentation = ScoringWeights(latency=1), Segmentation(dimensions=("currency",))
    configured = after(
        rules_set(),
        ScoringWeightsSet(weights=weights, affinities=(), by="a", note="", instead_of_version=0),
        SegmentationSet(segmentation=segmentation, by="a", note="", instead_of_version=0),
        policy_set("INR"),
        policy_set("*"),
    )
    assert configured.routing == RoutingConfiguration(
        version=5,
        weights=weights,
        rules=PINNED,
        segmentation=segmentation,
        bandits={"INR": ENABLED, "*": ENABLED},
    )
    assert {name: one.version for name, one in configured.settings.items()} == {
        "routing-rules": 1,
        "scoring": 2,
        "segmentation": 3,
        "bandit:INR": 4,
        "bandit:*": 5,
    }


def test_of_two_who_had_seen_the_same_the_second_is_void() -> None:
    configured = after(rules_set(PINNED), rules_set(rules(pin(to=BETA))))
    assert configured.routing == RoutingConfiguration(version=1, rules=PINNED)


def test_who_has_seen_the_last_one_replaces_it() -> None:
    other = rules(pin(to=BETA))
    assert after(rules_set(), rules_set(other, instead_of=1)).routing.rules == other


def test_after_a_void_one_the_version_before_it_still_counts() -> None:
    other = rules(pin(to=BETA))
    assert after(rules_set(), rules_set(rules()), rules_set(other, instead_of=1)).routing.rules == other


def test_a_record_outside_its_window_is_void() -> None:
    (record,) = on_the_log(rules_set())
    late = replace(
        record, envelope=replace(record.envelope, window=Window(valid_from_ms=0, valid_until_ms=1_000))
    )
    assert is_void(INITIAL, late)
    assert evolve(INITIAL, late) == INITIAL


# What a newer version of the service has set

UNREAD = UnreadSet(aggregate="routing-rules", by="a newer one", note="", instead_of_version=1)


def test_what_cannot_be_read_leaves_in_force_what_was_before_it() -> None:
    configured = after(rules_set(), UNREAD)
    assert configured.routing == RoutingConfiguration(version=1, rules=PINNED)
    assert configured.setting("routing-rules").version == 1
    assert configured.unread == {"routing-rules": 2}


def test_nobody_sets_anything_instead_of_what_they_cannot_see() -> None:
    for seen in (1, 2):
        with pytest.raises(Refused) as refused:
            decide(set_rules(rules(), instead_of=seen), after(rules_set(), UNREAD))
        assert refused.value.reason == Refusal.STALE_VERSION


def test_what_replaces_it_is_in_force_again_here_too() -> None:
    other = rules(pin(to=BETA))
    configured = after(rules_set(), UNREAD, rules_set(rules(), instead_of=1), rules_set(other, instead_of=2))
    assert configured.routing == RoutingConfiguration(version=4, rules=other)
    assert not configured.unread


def test_a_webhook_that_was_too_new_to_be_read_is_known_again_by_what_replaces_it() -> None:
    unread = UnreadSet(aggregate=f"webhook:{ONE}", by="a newer one", note="", instead_of_version=1)
    configured = after(subscribed(), unread, unsubscribed(2))
    assert (configured.version(f"webhook:{ONE}"), configured.unread) == (3, {})


def test_a_void_one_that_cannot_be_read_changes_nothing() -> None:
    assert after(rules_set(), replace(UNREAD, instead_of_version=0)) == after(rules_set())


segments = st.sampled_from(["UPI", "CARD", "*"])
events = st.lists(
    st.one_of(
        st.just(ADOPTED),
        st.just(FORGOTTEN),
        st.builds(
            lambda version, to: rules_set(rules(pin(to=to)), instead_of=version),
            st.integers(0, 6),
            st.sampled_from([ALPHA, BETA]),
        ),
        st.builds(
            lambda segment, version: policy_set(segment, instead_of=version), segments, st.integers(0, 6)
        ),
    ),
    max_size=8,
)


@given(events)
def test_void_events_could_as_well_not_have_happened(story: list[Heard]) -> None:
    """At whatever offset the others lie."""
    records = on_the_log(*story)
    configured, counted = INITIAL, []
    for record in records:
        if not is_void(configured, record):
            counted.append(record)
        configured = evolve(configured, record)
    assert folded(counted) == configured


@given(events)
def test_what_is_decided_on_the_newest_is_never_void(story: list[Heard]) -> None:
    configured = after(*story)
    version = configured.setting("routing-rules").version
    new = decide(set_rules(rules(pin("another")), instead_of=version), configured)
    *_, last = on_the_log(*story, *new)
    assert not is_void(configured, last)
    assert evolve(configured, last).routing.rules == rules(pin("another"))


# What may be set


def test_what_is_asked_for_becomes_an_event_that_names_what_it_replaces() -> None:
    assert decide(set_rules(rules(), instead_of=1), after(rules_set())) == [rules_set(rules(), instead_of=1)]


def test_every_kind_can_be_set() -> None:
    weights, segmentation = ScoringWeights(latency=1), Segmentation(dimensions=("currency",))
    assert decide(
        SetScoringWeights(
            weights=weights, affinities=(), gateways=(), by="a", note="n", instead_of_version=0
        ),
        INITIAL,
    ) == [ScoringWeightsSet(weights=weights, affinities=(), by="a", note="n", instead_of_version=0)]
    assert decide(
        SetSegmentation(segmentation=segmentation, by="a", note="n", instead_of_version=0), INITIAL
    ) == [SegmentationSet(segmentation=segmentation, by="a", note="n", instead_of_version=0)]
    assert decide(
        SetBanditPolicy(segment="*", policy=ENABLED, by="a", note="n", instead_of_version=0), INITIAL
    ) == [BanditPolicySet(segment="*", policy=ENABLED, by="a", note="n", instead_of_version=0)]


@pytest.mark.parametrize("seen", [0, 2, 7])
def test_who_has_seen_another_version_is_refused(seen: int) -> None:
    with pytest.raises(Refused) as refused:
        decide(set_rules(rules(), instead_of=seen), after(rules_set()))
    assert refused.value.reason == Refusal.STALE_VERSION


def test_what_is_so_already_is_not_set_again() -> None:
    assert decide(set_rules(instead_of=1), after(rules_set())) == []


def test_defaults_that_nobody_set_are_set_when_they_are_asked_for() -> None:
    """Defaults may be others in a later version of the service; what was set stays."""
    assert decide(set_rules(rules()), INITIAL) == [rules_set(rules())]


def test_a_segment_without_a_policy_has_that_of_all_and_may_be_given_one_that_is_equal() -> None:
    configured = after(policy_set("*"))
    assert configured.routing.bandit("UPI") == ENABLED
    asked = SetBanditPolicy(segment="UPI", policy=ENABLED, by="asha", note="", instead_of_version=0)
    assert decide(asked, configured) == [policy_set("UPI")]


# Gateways

ON_ALPHA, ON_BETA = a_gateway("alpha"), a_gateway("beta", payment_methods=("CARD",))
DISABLED = GatewayTerms(enabled=False)


def gateway_set(terms: GatewayTerms, *, of: str = "alpha", instead_of: int = 0) -> GatewaySet:
    return GatewaySet(gateway=GatewayId(of), terms=terms, by="asha", note="", instead_of_version=instead_of)


def set_gateway(terms: GatewayTerms, *, of: str = "alpha", instead_of: int = 0) -> SetGateway:
    return SetGateway(
        gateway=GatewayId(of),
        terms=terms,
        configured=(ON_ALPHA, ON_BETA),
        by="asha",
        note="",
        instead_of_version=instead_of,
    )


def test_the_terms_of_each_gateway_have_a_version_of_their_own() -> None:
    configured = after(gateway_set(DISABLED), gateway_set(GatewayTerms(priority=1), of="beta"))
    assert configured.routing.gateways == {ALPHA: DISABLED, BETA: GatewayTerms(priority=1)}
    assert configured.setting("gateway:alpha").version == 1
    assert configured.routing.version == configured.setting("gateway:beta").version == 2


def test_what_is_set_of_a_gateway_becomes_an_event_unless_it_is_so_already() -> None:
    terms = GatewayTerms(fee_bps=150)
    assert decide(set_gateway(terms), INITIAL) == [gateway_set(terms)]
    assert decide(set_gateway(terms, instead_of=1), after(gateway_set(terms))) == []
    assert decide(set_gateway(NO_TERMS), INITIAL) == []
    assert decide(set_gateway(NO_TERMS, instead_of=1), after(gateway_set(terms))) == [
        gateway_set(NO_TERMS, instead_of=1)
    ]


@pytest.mark.parametrize(
    ("terms", "lost"),
    [
        (DISABLED, "UPI in INR"),
        (GatewayTerms(payment_methods=("CARD",)), "UPI in INR"),
        (GatewayTerms(currencies=("USD",)), "UPI in INR"),
    ],
)
def test_the_last_gateway_of_a_method_in_a_currency_is_not_taken_from_it(
    terms: GatewayTerms, lost: str
) -> None:
    with pytest.raises(Refused) as refused:
        decide(set_gateway(terms), INITIAL)
    assert refused.value.reason == Refusal.NO_GATEWAY_LEFT
    assert lost in refused.value.detail
    assert "CARD" not in refused.value.detail
    relieved = after(gateway_set(GatewayTerms(payment_methods=("UPI", "CARD")), of="beta"))
    if terms.currencies is None:
        assert decide(set_gateway(terms), relieved) == [gateway_set(terms)]


def test_a_gateway_of_what_no_other_takes_may_still_be_changed_otherwise() -> None:
    terms = GatewayTerms(priority=3, maximum_amount_minor=100)
    assert decide(set_gateway(terms), INITIAL) == [gateway_set(terms)]


# Retry policies

OWN = MerchantRetryPolicy(max_attempts=2)


def retry_policy_set(policy: MerchantRetryPolicy | None, *, instead_of: int = 0) -> RetryPolicySet:
    return RetryPolicySet(
        merchant_id="m_001", policy=policy, by="asha", note="", instead_of_version=instead_of
    )


def set_retry_policy(policy: MerchantRetryPolicy | None, *, instead_of: int = 0) -> SetRetryPolicy:
    return SetRetryPolicy(
        merchant_id="m_001", policy=policy, by="asha", note="", instead_of_version=instead_of
    )


def test_a_merchant_has_a_retry_policy_of_its_own_until_it_has_the_default_again() -> None:
    assert after(retry_policy_set(OWN)).routing.retry_policies == {"m_001": OWN}
    without = after(retry_policy_set(OWN), retry_policy_set(None, instead_of=1))
    assert without.routing.retry_policies == {}
    assert without.setting("retry-policy:m_001").version == without.routing.version == 2


def test_a_retry_policy_becomes_an_event_unless_it_is_so_already() -> None:
    assert decide(set_retry_policy(OWN), INITIAL) == [retry_policy_set(OWN)]
    assert decide(set_retry_policy(OWN, instead_of=1), after(retry_policy_set(OWN))) == []
    assert decide(set_retry_policy(None), INITIAL) == []
    assert decide(set_retry_policy(None, instead_of=1), after(retry_policy_set(OWN))) == [
        retry_policy_set(None, instead_of=1)
    ]


# Kill switches

switches: st.SearchStrategy[KillSwitch] = st.one_of(
    st.sampled_from([ALPHA, BETA]).map(lambda name: GatewaySwitch(name=name)),
    st.sampled_from(PAYMENT_METHODS).map(lambda name: MethodSwitch(name=name)),
    st.sampled_from(["m_001", "UPI"]).map(lambda name: MerchantSwitch(name=name)),
    st.sampled_from([StrategySwitch(name="scores"), StrategySwitch(name="bandit")]),
)
OFF_ALPHA = GatewaySwitch(name=ALPHA)


def turn(switch: KillSwitch, *, on: bool, instead_of: int = 0) -> TurnKillSwitch:
    return TurnKillSwitch(
        switch=switch, on=on, gateways=(), by="asha", note="why", instead_of_version=instead_of
    )


def turned_on(switch: KillSwitch, *, instead_of: int = 0) -> KillSwitchTurnedOn:
    return KillSwitchTurnedOn(switch=switch, by="asha", note="why", instead_of_version=instead_of)


def turned_off(switch: KillSwitch, *, instead_of: int) -> KillSwitchTurnedOff:
    return KillSwitchTurnedOff(switch=switch, by="asha", note="why", instead_of_version=instead_of)


@given(switches, st.lists(switches, max_size=4, unique=True))
def test_a_switch_that_is_turned_on_and_off_again_leaves_the_others_as_they_were(
    switch: KillSwitch, others: list[KillSwitch]
) -> None:
    story: list[Heard] = [turned_on(other) for other in others if other != switch]
    on = after(*story, turned_on(switch))
    off = after(*story, turned_on(switch), turned_off(switch, instead_of=len(story) + 1))
    assert is_on(switch, on.routing.off)
    assert not is_on(switch, off.routing.off)
    assert off.routing.off == after(*story).routing.off
    assert off.setting(kill_switch(switch)).version == len(story) + 2


def test_a_switch_becomes_an_event_unless_it_is_so_already() -> None:
    assert decide(turn(OFF_ALPHA, on=True), INITIAL) == [turned_on(OFF_ALPHA)]
    assert decide(turn(OFF_ALPHA, on=False), INITIAL) == []
    assert decide(turn(OFF_ALPHA, on=True, instead_of=1), after(turned_on(OFF_ALPHA))) == []
    assert decide(turn(OFF_ALPHA, on=False, instead_of=1), after(turned_on(OFF_ALPHA))) == [
        turned_off(OFF_ALPHA, instead_of=1)
    ]


def test_a_merchant_and_a_method_of_one_name_have_switches_of_their_own() -> None:
    off = after(turned_on(MerchantSwitch(name="UPI"))).routing.off
    assert (len(off.merchants), len(off.methods)) == (1, 0)


def test_a_gateway_that_is_switched_off_is_none_that_another_leaves_a_method_to() -> None:
    both = GatewayTerms(payment_methods=("UPI", "CARD"))
    story = (gateway_set(both, of="beta"), turned_on(GatewaySwitch(name=BETA)))
    with pytest.raises(Refused) as refused:
        decide(set_gateway(DISABLED), after(*story))
    assert refused.value.reason == Refusal.NO_GATEWAY_LEFT
