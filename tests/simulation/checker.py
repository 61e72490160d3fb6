"""What must hold of every run, by three independent witnesses: the log, the ledgers, and what clients were told.

A customer's VPA is in every charge, so who paid twice is seen without trusting any id of ours.
"""

from collections import defaultdict

from commands.ownership import fold
from commands.payment_state import Open, PaymentState, Settled
from infra.memory.clock import EPOCH
from infra.memory.gateways import Contact, Entry
from schemas.envelope import Recorded
from schemas.ids import PaymentId, payment_of
from schemas.instrument import Upi
from schemas.payment import AttemptStarted, PaymentEvent, PaymentFailed, PaymentSucceeded
from tests.simulation.world import Answer, World

Record = Recorded[PaymentEvent]


class Violation(AssertionError):
    """A promise that was broken, with the whole story of the payments under that key."""


class Checker:
    def __init__(self, world: World) -> None:
        self.world = world
        self.records: dict[str, list[Record]] = defaultdict(list)
        for partition in world.log.partitions:
            for record in partition:
                self.records[record.envelope.aggregate_id].append(record)
        self.entries: list[Entry] = [e for ledger in world.ledgers.values() for e in ledger.entries.values()]
        self.contacts: list[Contact] = [c for ledger in world.ledgers.values() for c in ledger.contacts]

    def check(self, *, windows: bool = True) -> None:
        self.nobody_is_charged_twice()
        for contact in self.contacts:
            self.a_contact_was_written_ahead(contact)
            if windows:
                self.a_contact_is_inside_its_window(contact)
        for answer in self.world.answers:
            self.an_answer_is_what_the_log_says(answer)
            self.a_success_told_is_a_charge(answer)
            self.a_failure_told_is_no_charge(answer)
        self.a_key_is_one_payment()
        for history in self.records.values():
            assert fold(history) == fold(history)

    def nobody_is_charged_twice(self) -> None:
        captured: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if entry.is_captured:
                captured[_vpa(entry)].append(entry)
        for vpa, entries in captured.items():
            self._require(len(entries) == 1, vpa, f"charged {len(entries)} times")

    def a_contact_was_written_ahead(self, contact: Contact) -> None:
        """On the log, valid, and stamped before the call by the broker's clock, give or take its skew."""
        self._require(
            self._start_of(contact) is not None,
            _vpa(contact),
            "a gateway was contacted without a valid start",
        )

    def a_contact_is_inside_its_window(self, contact: Contact) -> None:
        """By the store's clock, which leases are judged by; the pause after the last look is nobody's to prevent."""
        start = self._start_of(contact)
        assert start is not None
        looked_ms = int(EPOCH.timestamp() * 1000) + contact.looked_ms + self.world.store_clock.skew_ms
        window = start.envelope.window
        inside = window.valid_from_ms <= looked_ms <= window.valid_until_ms
        self._require(inside, _vpa(contact), "a gateway was contacted outside its owner's window")

    def an_answer_is_what_the_log_says(self, answer: Answer) -> None:
        """Every record told is on the log, and their fold is that of the log up to there."""
        told = answer.handled.history
        self._require(bool(told), answer.vpa, "an answer without a record")
        on_log = self.records[told[-1].envelope.aggregate_id]
        self._require(all(record in on_log for record in told), answer.vpa, "told what is not on the log")
        up_to_there = [record for record in on_log if record.position <= told[-1].position]
        self._require(
            _gist(fold(told)) == _gist(fold(up_to_there)), answer.vpa, "told what the log does not say"
        )
        self._require(_gist(fold(told)) != ((), None), answer.vpa, "acknowledged though nothing was tried")

    def a_success_told_is_a_charge(self, answer: Answer) -> None:
        match fold(answer.handled.history):
            case Settled(result=PaymentSucceeded(attempt_id=attempt_id)):
                charged = [entry for entry in self.entries if entry.charge.attempt_id == attempt_id]
                self._require(
                    len(charged) == 1 and charged[0].is_captured and charged[0].at_ms <= answer.at_ms,
                    answer.vpa,
                    "a success was told that is in no ledger",
                )

    def a_failure_told_is_no_charge(self, answer: Answer) -> None:
        match fold(answer.handled.history):
            case Settled(result=PaymentFailed()):
                charged = [entry for entry in self.entries if entry.is_captured and _vpa(entry) == answer.vpa]
                self._require(not charged, answer.vpa, "a failure was told, and the customer was charged")

    def a_key_is_one_payment(self) -> None:
        payments: dict[str, set[str]] = defaultdict(set)
        for contact in self.contacts:
            payments[_vpa(contact)].add(payment_of(contact.charge.attempt_id))
        for answer in self.world.answers:
            payments[answer.vpa].add(answer.handled.history[-1].envelope.aggregate_id)
        for vpa, known in payments.items():
            self._require(len(known) == 1, vpa, f"one key became {len(known)} payments")

    def story(self, vpa: str) -> str:
        """Everything of one key in the order of true time, as far as clocks allow."""
        begun = EPOCH.timestamp() * 1000
        payments = {payment_of(c.charge.attempt_id) for c in self.contacts if _vpa(c) == vpa}
        payments |= {
            PaymentId(a.handled.history[-1].envelope.aggregate_id) for a in self.world.answers if a.vpa == vpa
        }
        lines = [
            (record.stamp_ms - begun, f"log    {'void ' if record.is_void else ''}epoch {record.envelope.epoch} "
             f"{record.position.offset} {payment[-6:]} {_short(record.event)}")
            for payment in sorted(payments)
            for record in self.records[payment]
        ]  # fmt: skip
        lines += [
            (c.looked_ms, f"call   {c.charge.gateway} {c.charge.attempt_id}")
            for c in self.contacts
            if _vpa(c) == vpa
        ]
        lines += [(e.at_ms, f"charge {e.charge.gateway} {e.outcome}") for e in self.entries if _vpa(e) == vpa]
        lines += [
            (a.at_ms, f"told   {_gist(fold(a.handled.history))}") for a in self.world.answers if a.vpa == vpa
        ]
        lines += [
            (at_ms, f"told   {type(error).__name__}: {error}")
            for who, at_ms, error in self.world.refusals
            if who == vpa
        ]
        return "\n".join(f"{at_ms:10.0f}  {line}" for at_ms, line in sorted(lines))

    def _start_of(self, contact: Contact) -> Record | None:
        """The valid start that was on the log when the gateway was contacted (a skew's difference apart)."""
        called_ms = int(EPOCH.timestamp() * 1000) + contact.looked_ms + 2 * LARGEST_DIFFERENCE_MS
        for record in self.records[payment_of(contact.charge.attempt_id)]:
            if (
                isinstance(record.event, AttemptStarted)
                and record.event.attempt_id == contact.charge.attempt_id
            ):
                return record if not record.is_void and record.stamp_ms <= called_ms else None
        return None

    def _require(self, holds: bool, vpa: str, what: str) -> None:
        if not holds:
            raise Violation(f"seed {self.world.seed}, {vpa}: {what}\n{self.story(vpa)}")


LARGEST_DIFFERENCE_MS = 500


def _vpa(of: Entry | Contact) -> str:
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


def _short(event: PaymentEvent) -> str:
    detail = getattr(event, "attempt_id", None) or getattr(event, "claim_id", "")
    return f"{type(event).__name__} {detail}".strip()
