"""Records: what is void, and what is unreadable rather than a crash."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.codec import (
    CONFIGURATION_TOPIC,
    EXPERIMENTS_TOPIC,
    PAYMENTS_TOPIC,
    Headers,
    decode,
    encode,
    rfc3339,
)
from schemas.configuration import UnreadSet
from schemas.envelope import ALWAYS, LONGEST_WINDOW_MS, Outgoing, Position, Window
from schemas.errors import Unreadable
from schemas.experiment import BucketRange, DesignOutline, UnreadStarted
from schemas.ids import ExperimentId
from tests.builders import AT, PAYMENT, recorded, started

HERE = Position(topic=PAYMENTS_TOPIC, partition=3, offset=42)


def a_record() -> tuple[bytes, Headers]:
    return encode(Outgoing(envelope=recorded(started()).envelope, event=started()))


# Windows


@given(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_window_begins_with_its_first_millisecond_and_ends_before_its_last(
    begin: int, end: int, stamp: int
) -> None:
    assert Window(valid_from_ms=begin, valid_until_ms=end).holds(stamp) is (begin <= stamp < end)


def test_windows_that_follow_one_another_share_no_moment() -> None:
    first, second = Window(valid_from_ms=0, valid_until_ms=100), Window(valid_from_ms=100, valid_until_ms=200)
    assert [(first.holds(at), second.holds(at)) for at in (99, 100)] == [(True, False), (False, True)]


def test_what_is_not_owned_is_always_valid() -> None:
    assert ALWAYS.holds(0)
    assert ALWAYS.holds(2**53)


def test_the_longest_window_covers_the_longest_budget_a_gateway_and_the_margins() -> None:
    assert LONGEST_WINDOW_MS >= 60_000 + 10_000 + 6_000


# The codec


def test_a_record_is_read_as_it_was_written() -> None:
    value, headers = a_record()
    read = decode(value, headers, HERE, 1_000)
    assert read.envelope == recorded(started()).envelope
    assert read.event == started()
    assert read.position == HERE
    assert not read.is_void


def test_times_are_utc_to_the_millisecond() -> None:
    assert rfc3339(AT) == "2026-11-23T09:30:00.123Z"


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff",
        b'{"type":"PaymentDreamt"}',
        b'{"type":"AttemptStarted"}',
        b'{"type":"ReservationStoreAdopted","system_identifier":"1","timeline":1}',
        b'{"type":"AttemptStarted","x":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
    ],
    ids=lambda value: repr(value)[:40],
)
def test_a_value_that_is_none_of_the_topics_events_is_unreadable(value: bytes | None) -> None:
    with pytest.raises(Unreadable):
        decode(value, a_record()[1], HERE, 1_000)


OURS = [
    "ce_id", "ce_subject", "ce_sequence", "ce_time", "ce_epoch",
    "ce_validfrom", "ce_validuntil", "ce_correlationid", "ce_causationid",
]  # fmt: skip


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_without_its_whole_envelope_a_record_is_unreadable(name: str, content: bytes | None) -> None:
    value, headers = a_record()
    broken = [(known, content if known == name else held) for known, held in headers]
    with pytest.raises(Unreadable):
        decode(value, broken, HERE, 1_000)
    with pytest.raises(Unreadable):
        decode(value, [(known, held) for known, held in headers if known != name], HERE, 1_000)


@given(st.permutations(a_record()[1]), st.integers(0, 13))
def test_an_envelope_is_read_wherever_its_headers_stand(headers: Headers, place: int) -> None:
    headers.insert(place, ("trace", b"00"))
    assert decode(a_record()[0], headers, HERE, 1_000).envelope == recorded(started()).envelope


@pytest.mark.parametrize("place", [0, 2, 3, 12])
def test_of_two_headers_of_one_name_the_last_counts(place: int) -> None:
    value, headers = a_record()
    headers[place] = ("ce_id", b"evt_other")
    expected = "evt_other" if place > 1 else recorded(started()).envelope.event_id
    assert decode(value, headers, HERE, 1_000).envelope.event_id == expected


@pytest.mark.parametrize("name", ["ce_sequence", "ce_time", "ce_epoch", "ce_validfrom", "ce_validuntil"])
def test_an_envelope_of_other_types_is_unreadable(name: str) -> None:
    value, headers = a_record()
    with pytest.raises(Unreadable):
        decode(value, [(known, b"soon" if known == name else held) for known, held in headers], HERE, 1_000)


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"RoutingRulesSet","rules":{"rules":[{"id":"r","then":{"type":"shadow"}}]},%s}',
        b'{"type":"ScoringWeightsSet","weights":{"moon":1},"affinities":[],%s}',
        b'{"type":"ShadowPolicySet","policy":{"moon":{}},%s}',
        b'{"type":"SegmentationSet","segmentation":{"dimensions":["moon"]},%s}',
        b'{"type":"BanditPolicySet","segment":"UPI","policy":{"moon":1},%s}',
        b'{"type":"GatewaySet","gateway":"razorpay","terms":{"moon":1},%s}',
        b'{"type":"RetryPolicySet","merchant_id":"m","policy":{"max_attempts":2,"moon":1},%s}',
        b'{"type":"KillSwitchTurnedOn","switch":{"kind":"strategy","name":"moon"},%s}',
        b'{"type":"MoonSet","moon":1,%s}',
    ],
)
def test_what_a_newer_version_has_configured_is_told_without_what_it_is(value: bytes) -> None:
    """Of whatever kind, also one that is not known here: its aggregate is its record's."""
    position = Position(topic=CONFIGURATION_TOPIC, partition=0, offset=7)
    who = b'"by":"asha","note":"n","instead_of_version":3'
    assert decode(value % who, a_record()[1], position, 1_000).event == UnreadSet(
        aggregate=PAYMENT, by="asha", note="n", instead_of_version=3
    )


@pytest.mark.parametrize(
    "value",
    [
        b'{"type":"RoutingRulesSet","rules":{"rules":[]},"by":"asha","note":"n"}',
        b'{"type":"RoutingRulesSet","by":"asha","note":"n","instead_of_version":"3"}',
        b'{"type":"ReservationStoreAdopted","system_identifier":1,"timeline":1}',
        b"{",
    ],
)
def test_anything_else_on_the_configuration_is_unreadable(value: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(value, a_record()[1], Position(topic=CONFIGURATION_TOPIC, partition=0, offset=7), 1_000)


def test_the_start_of_an_experiment_that_a_newer_version_designed_is_told_without_how_it_routes() -> None:
    value = b"""{"type":"ExperimentStarted","experiment_id":"exp_1","salt":"checkout","by":"asha","note":"n",
        "design":{"name":"one","variants":[{"name":"control","weight":1,"override":{"moon":1}}]},
        "allocation":[{"variant":"control","first":0,"end":10,"moon":1}],"moon":1}"""
    position = Position(topic=EXPERIMENTS_TOPIC, partition=0, offset=7)
    assert decode(value, a_record()[1], position, 1_000).event == UnreadStarted(
        experiment_id=ExperimentId("exp_1"),
        design=DesignOutline(name="one"),
        salt="checkout",
        allocation=(BucketRange(variant="control", first=0, end=10),),
        by="asha",
        note="n",
    )


def test_anything_else_on_experiments_is_unreadable() -> None:
    for value in (b'{"type":"ExperimentDreamt"}', b'{"type":"ExperimentPaused","by":"asha"}'):
        with pytest.raises(Unreadable):
            decode(value, a_record()[1], Position(topic=EXPERIMENTS_TOPIC, partition=0, offset=7), 1_000)


def test_a_record_of_a_topic_we_do_not_know_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        decode(*a_record(), Position(topic="other", partition=0, offset=0), 1_000)


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"00-4bf92f-00"])
def test_headers_that_others_added_are_left_alone(content: bytes | None) -> None:
    value, headers = a_record()
    assert decode(value, [*headers, ("trace", content)], HERE, 1_000).event == started()
