"""The writer: what it knows is on the log, and when it falls silent."""

import asyncio
from collections.abc import Callable

import pytest

from commands.ownership import Owner
from commands.payment_state import Open
from commands.writer import PaymentWriter
from infra.memory.clock import MemoryClock
from infra.memory.fate import UNTROUBLED, Fate
from infra.memory.log import MemoryLog
from schemas.envelope import Window
from schemas.errors import AppendAmbiguous, LogUnavailable
from tests.builders import PAYMENT, attempt_declined, declined, recorded, requested, routed, started
from tests.simulation.loop import in_virtual_time
from tests.spec import state_after


def a_writer(
    fate: Callable[[], Fate] = lambda: UNTROUBLED, *, window_ms: int = 10_000, broker_skew_ms: int = 0
) -> tuple[PaymentWriter, MemoryLog]:
    clock = MemoryClock()
    log = MemoryLog(MemoryClock(skew_ms=broker_skew_ms), fate=fate)
    window = Window(valid_from_ms=0, valid_until_ms=clock.now_ms() + window_ms)
    owner = Owner(payment_id=PAYMENT, epoch=1, window=window, until_ms=clock.elapsed_ms() + window_ms)
    return PaymentWriter(clock, log, owner, "req_1"), log


@in_virtual_time
async def test_its_state_and_history_are_those_of_the_log() -> None:
    writer, log = a_writer()
    await writer.append([requested(), routed(), started()])
    assert list(writer.history) == log.of(PAYMENT)
    assert writer.state == state_after(requested(), routed(), started())


@in_virtual_time
async def test_envelopes_are_numbered_and_name_their_cause() -> None:
    writer, log = a_writer()
    await writer.append([requested(), started()])
    await writer.append([attempt_declined(declined())])
    envelopes = [record.envelope for record in log.of(PAYMENT)]
    assert [envelope.sequence for envelope in envelopes] == [1, 2, 3]
    assert [envelope.causation_id for envelope in envelopes] == ["req_1", "req_1", envelopes[1].event_id]
    assert {envelope.correlation_id for envelope in envelopes} == {"req_1"}


@in_virtual_time
async def test_after_an_ambiguous_append_it_is_silent_for_ever() -> None:
    fates = iter([Fate(answer_ms=None)])
    writer, log = a_writer(lambda: next(fates, UNTROUBLED))
    with pytest.raises(AppendAmbiguous):
        await writer.append([requested()])
    with pytest.raises(AppendAmbiguous):
        await writer.append([started()])
    assert [record.event for record in log.of(PAYMENT)] == [requested()]
    assert writer.history == ()


@in_virtual_time
async def test_it_is_silent_after_an_interrupted_append_too() -> None:
    writer, _ = a_writer(lambda: Fate(effect_ms=100))
    task = asyncio.create_task(writer.append([requested()]))
    await asyncio.sleep(0.05)
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(AppendAmbiguous):
        await writer.append([started()])


@in_virtual_time
async def test_a_log_that_is_away_silences_it() -> None:
    writer, log = a_writer()
    log.is_available = False
    with pytest.raises(LogUnavailable):
        await writer.append([requested()])
    log.is_available = True
    with pytest.raises(AppendAmbiguous):
        await writer.append([requested()])


@in_virtual_time
async def test_an_acknowledgement_outside_the_window_is_ambiguous() -> None:
    writer, log = a_writer(window_ms=10_000, broker_skew_ms=10_000)
    with pytest.raises(AppendAmbiguous):
        await writer.append([requested()])
    assert [record.is_void for record in log.of(PAYMENT)] == [True]


@in_virtual_time
async def test_acknowledgements_out_of_order_are_ambiguous() -> None:
    fates = iter([Fate(effect_ms=50), Fate(effect_ms=1)])
    writer, _ = a_writer(lambda: next(fates))
    with pytest.raises(AppendAmbiguous):
        await writer.append([requested(), started()])


@in_virtual_time
async def test_nothing_is_sent_when_its_own_clock_says_that_the_window_has_ended() -> None:
    writer, log = a_writer(window_ms=10_000, broker_skew_ms=-5_000)
    await asyncio.sleep(10)
    with pytest.raises(AppendAmbiguous):
        await writer.append([requested()])
    assert log.of(PAYMENT) == []


@in_virtual_time
async def test_a_call_may_be_sent_only_if_it_can_also_end_inside_the_window() -> None:
    writer, _ = a_writer(window_ms=10_000)
    await asyncio.sleep(7.5)
    assert writer.may_send(started(timeout_ms=2_500))
    await asyncio.sleep(0.001)
    assert not writer.may_send(started(timeout_ms=2_500))


@in_virtual_time
async def test_the_attempt_to_make_is_the_one_that_is_written_ahead_and_has_no_outcome() -> None:
    writer, _ = a_writer()
    assert writer.attempt_to_make() is None
    await writer.append([requested(), started()])
    assert writer.attempt_to_make() == started()
    await writer.append([attempt_declined(declined())])
    assert writer.attempt_to_make() is None


@in_virtual_time
async def test_it_goes_on_from_what_others_have_written() -> None:
    writer, _ = a_writer()
    writer.resume([recorded(requested()), recorded(routed(), offset=1, stamp_ms=10_000)])
    assert writer.state == Open(requested=requested())
    await writer.append([started()])
    assert [record.envelope.sequence for record in writer.history] == [1, 2, 3]
