"""The evidence of a world in virtual time, and what can be asked of such a world only: it has seen every call go out.

A customer's VPA is in every charge, so who paid twice is seen without trusting any id of ours.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import reduce

from msgspec.structs import replace

from commands.ownership import fold
from commands.payment_state import Open, PaymentState, Settled
from infra.memory.clock import EPOCH
from infra.memory.gateways import Contact as Call
from infra.memory.gateways import Entry
from projections.payments import evolve
from projections.verifications import work
from schemas.ids import PaymentId
from schemas.instrument import Upi
from schemas.outcome import Declined, Succeeded
from schemas.payment import PaymentFailed, PaymentSucceeded
from tests.checker import checker
from tests.checker.evidence import Charge, Contact, Evidence, Note, Record, Told
from tests.simulation.scenario import CLOSE_AFTER, LARGEST_SKEW_MS
from tests.simulation.world import Answer, World

EPOCH_MS = EPOCH.timestamp() * 1000


class Checker(checker.Checker):
    """`windows` also asks whether every call was let through inside its owner's window."""

    def __init__(self, world: World, *, windows: bool = True) -> None:
        super().__init__(evidence_of(world))
        self._world = world
        self._windows = windows

    def examine(self) -> None:
        if self._windows:
            for contact in self.evidence.contacts:
                self.a_contact_is_inside_its_window(contact)
        for answer in self._world.answers:
            self.an_answer_is_what_the_log_says(answer)
        for payment, history in self.evidence.records.items():
            self.the_read_model_is_the_fold_of_the_log(PaymentId(payment), history)
        super().examine()

    def a_contact_is_inside_its_window(self, contact: Contact) -> None:
        """By the store's clock, which leases are judged by; the pause after the last look is nobody's to prevent."""
        if (start := self.start_of(contact)) is not None:
            looked_ms = int(contact.at_ms) + self._world.store_clock.skew_ms
            window = start.envelope.window
            inside = window.valid_from_ms <= looked_ms <= window.valid_until_ms
            self.require(inside, contact.who, "a gateway was contacted outside its owner's window")

    def an_answer_is_what_the_log_says(self, answer: Answer) -> None:
        """Every record told is on the log, and their fold is that of the log up to there."""
        told = answer.handled.history
        if not told:
            self.require(False, answer.vpa, "an answer without a record")
            return
        on_log = self.evidence.records[told[-1].envelope.aggregate_id]
        self.require(all(record in on_log for record in told), answer.vpa, "told what is not on the log")
        up_to_there = [record for record in on_log if record.position <= told[-1].position]
        is_same = _gist(fold(told)) == _gist(fold(up_to_there))
        self.require(is_same, answer.vpa, "told what the log does not say")
        self.require(_gist(fold(told)) != ((), None), answer.vpa, "acknowledged though nothing was tried")

    def the_read_model_is_the_fold_of_the_log(self, payment: PaymentId, history: Sequence[Record]) -> None:
        """However often, and in whatever pieces, the projection was given its records; so is what it left to do."""
        folded = reduce(evolve, history, None)
        assert folded is not None
        who, shown = self._who_of(history), self.evidence.histories.get(payment)
        in_order = tuple(sorted(folded.attempts, key=lambda one: (one.started_at, one.attempt_id)))
        is_same = shown == replace(folded, attempts=in_order)
        self.require(is_same, who, "the read model is not the fold of the log")
        due = self._world.read_model.work.get(payment)
        is_known = due == (None if work(folded).due_at is None else work(folded))
        self.require(is_known, who, "the read model does not know what is due")


def evidence_of(world: World) -> Evidence:
    records: dict[str, list[Record]] = defaultdict(list)
    for partition in world.log.partitions:
        for record in partition:
            records[record.envelope.aggregate_id].append(record)
    ledgers = world.ledgers.values()
    return Evidence(
        run=f"seed {world.seed}",
        records=records,
        histories=world.read_model.histories,
        charges=[_charge(entry) for ledger in ledgers for entry in ledger.entries.values()],
        contacts=[_contact(call) for ledger in ledgers for call in ledger.contacts],
        told=list(_told(world.answers)),
        alarms=world.alarms.raised,
        notes=[
            Note(who=who, at_ms=EPOCH_MS + at_ms, says=f"{type(error).__name__}: {error}")
            for who, at_ms, error in world.refusals
        ],
        close_after=CLOSE_AFTER,
        clocks_differ_by_ms=2 * LARGEST_SKEW_MS,
    )


def _charge(entry: Entry) -> Charge:
    return Charge(
        who=_vpa(entry),
        attempt_id=entry.charge.attempt_id,
        gateway=entry.charge.gateway,
        at_ms=EPOCH_MS + entry.at_ms,
        status=str(entry.outcome),
        succeeded_at_once=isinstance(entry.outcome, Succeeded) and not entry.has_turned,
        was_declined=entry.has_turned or isinstance(entry.outcome, Declined),
        holds_money=entry.holds_money,
        is_captured=entry.is_captured,
        is_given_back=entry.given_back_by is not None,
    )


def _contact(call: Call) -> Contact:
    return Contact(
        who=_vpa(call),
        attempt_id=call.charge.attempt_id,
        gateway=call.charge.gateway,
        at_ms=EPOCH_MS + call.looked_ms,
    )


def _told(answers: Iterable[Answer]) -> Iterable[Told]:
    for answer in answers:
        if not answer.handled.history:
            continue
        state = fold(answer.handled.history)
        result = state.result if isinstance(state, Settled) else None
        yield Told(
            who=answer.vpa,
            payment_id=PaymentId(answer.handled.history[-1].envelope.aggregate_id),
            at_ms=EPOCH_MS + answer.at_ms,
            says=str(_gist(state)),
            paid_by=result.attempt_id if isinstance(result, PaymentSucceeded) else None,
            has_failed=isinstance(result, PaymentFailed),
        )


def _vpa(of: Entry | Call) -> str:
    instrument = of.charge.instrument
    assert isinstance(instrument, Upi)
    assert instrument.vpa is not None
    return instrument.vpa


def _gist(state: PaymentState) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """What a client is told of a state: the attempts and the result. Who owns it is not its business."""
    match state:
        case Settled(result=result, attempts=attempts):
            told: str | None = type(result).__name__
        case Open(attempts=attempts):
            told = None
        case _:
            attempts, told = (), None
    return tuple((a.started.attempt_id, type(a.outcome).__name__) for a in attempts), told
