"""What must hold of every run, by three independent witnesses: the log, the ledgers, and what clients were told.

A customer's VPA is in every charge, so who paid twice is seen without trusting any id of ours.
"""

from collections import defaultdict

from commands.ownership import fold, valid
from commands.payment_state import INITIAL, Open, PaymentState, Settled, evolve
from infra.memory.clock import EPOCH
from infra.memory.gateways import Contact, Entry
from projections.payments import evolve as project
from schemas.envelope import Recorded
from schemas.ids import PaymentId, payment_of
from schemas.instrument import Upi
from schemas.outcome import Declined, Succeeded
from schemas.payment import (
    AttemptDeclined,
    AttemptNotSent,
    AttemptStarted,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    PaymentFailed,
    PaymentRouted,
    PaymentSucceeded,
    PaymentTakenOver,
    ReviewSettled,
)
from schemas.reliability import DuplicateChargeDetected
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
        self.nobody_is_charged_before_the_first_charge_is_certain()
        for contact in self.contacts:
            self.a_contact_was_written_ahead(contact)
            if windows:
                self.a_contact_is_inside_its_window(contact)
        for answer in self.world.answers:
            self.an_answer_is_what_the_log_says(answer)
            self.a_success_told_is_a_charge(answer)
            self.a_failure_told_is_no_charge(answer)
        self.a_key_is_one_payment()
        for payment, history in self.records.items():
            assert fold(history) == fold(history)
            self.an_epoch_has_one_writer(history)
            self.an_end_stays(history)
            self.it_came_to_an_end(PaymentId(payment), fold(history))
            self.a_person_hears_of_what_is_late(history)
            self.what_is_declined_was_declined(history)
            self.projection_and_verifier_agree(history)
        for entry in self.entries:
            self.a_charge_is_known(entry)
            self.what_was_verified_as_not_sent_is_not_charged_later(entry)

    def nobody_is_charged_twice(self) -> None:
        held: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if entry.holds_money:
                held[_vpa(entry)].append(entry)
        for vpa, entries in held.items():
            self._require(len(entries) == 1, vpa, f"charged {len(entries)} times")

    def nobody_is_charged_before_the_first_charge_is_certain(self) -> None:
        """Unless the merchant would have it so, or what had failed turned out to have charged: not even for a while."""
        at_once: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            if isinstance(entry.outcome, Succeeded) and not entry.has_turned and not self._is_hasty(entry):
                at_once[_vpa(entry)].append(entry)
        for vpa, entries in at_once.items():
            self._require(len(entries) == 1, vpa, f"charged {len(entries)} times at once")

    def _is_hasty(self, entry: Entry) -> bool:
        routed = (record.event for record in self._of(entry) if isinstance(record.event, PaymentRouted))
        return any(event.policy.retry_on_timeout for event in routed)

    def a_charge_is_known(self, entry: Entry) -> None:
        """At the end money is held only for the payment that says so, by the attempt that it names."""
        state = fold(self.records[payment_of(entry.charge.attempt_id)])
        paid_by = state.result.attempt_id if _is_paid(state) else None  # type: ignore[union-attr]
        is_paid = paid_by == entry.charge.attempt_id
        self._require(entry.holds_money == is_paid, _vpa(entry), "money and log do not agree")
        if is_paid:
            self._require(entry.is_captured, _vpa(entry), "paid by money that was never captured")

    def what_was_verified_as_not_sent_is_not_charged_later(self, entry: Entry) -> None:
        """Its reference was burnt: the paused sender came too late. (A person who says so burns nothing.)"""
        reviewed = {d.event.attempt_id for d in self._of(entry) if isinstance(d.event, ReviewSettled)}
        for record in valid(self._of(entry)):
            match record.event:
                case AttemptNotSent(attempt_id=attempt_id, verified=True) if attempt_id not in reviewed:
                    is_late = attempt_id == entry.charge.attempt_id and entry.given_back_by is None
                    self._require(not is_late, _vpa(entry), "charged although verified as not sent")

    def what_is_declined_was_declined(self, history: list[Record]) -> None:
        """By the gateway, or by a person: nothing fails by assumption."""
        reviewed = {r.event.attempt_id for r in history if isinstance(r.event, ReviewSettled)}
        entries = {entry.charge.attempt_id: entry for entry in self.entries}
        for record in valid(history):
            match record.event:
                case AttemptDeclined(attempt_id=attempt_id) if attempt_id not in reviewed:
                    entry = entries.get(attempt_id)
                    was_declined = entry and (entry.has_turned or isinstance(entry.outcome, Declined))
                    self._require(bool(was_declined), self._vpa_of(history), "declined by assumption")

    def projection_and_verifier_agree(self, history: list[Record]) -> None:
        """At every moment: what the one takes for due, the other finds to do."""
        state: PaymentState = INITIAL
        view = None
        for record in valid(history):
            state, view = evolve(state, record.event), project(view, record)
            assert isinstance(state, Open | Settled)
            for attempt in state.attempts:
                shown = next(a for a in view.attempts if a.attempt_id == attempt.started.attempt_id)
                told = (shown.checks, shown.in_review, shown.late is not None, bool(shown.compensated_by))
                known = (attempt.checks, attempt.in_review, bool(attempt.late), bool(attempt.compensated_by))
                is_same = told == known and (shown.status in SETTLED) == attempt.is_settled
                self._require(is_same, self._vpa_of(history), f"{told} is shown where {known} is known")

    def a_person_hears_of_what_is_late(self, history: list[Record]) -> None:
        heard = {a.attempt_id for a in self.world.alarms.raised if isinstance(a, DuplicateChargeDetected)}
        for record in valid(history):
            if isinstance(record.event, LateSuccessDetected):
                is_heard = record.event.attempt_id in heard
                self._require(is_heard, self._vpa_of(history), "nobody heard of a late success")

    def _of(self, entry: Entry) -> list[Record]:
        return self.records[payment_of(entry.charge.attempt_id)]

    def an_epoch_has_one_writer(self, history: list[Record]) -> None:
        """Whoever lost the race for an epoch has written nothing but that it wanted it."""
        writers: dict[int, set[str]] = defaultdict(set)
        for record in valid(history):
            if not isinstance(record.event, PaymentTakenOver):
                writers[record.envelope.epoch].add(record.envelope.correlation_id)
        for epoch, found in writers.items():
            vpa = self._vpa_of(history)
            self._require(len(found) == 1, vpa, f"epoch {epoch} was written by {len(found)} writers")

    def an_end_stays(self, history: list[Record]) -> None:
        """Success for ever; failure unless the merchant keeps a late success. Nothing is given back twice."""
        vpa = self._vpa_of(history)
        ended: PaymentEvent | None = None
        keeps, given_back = False, set[str]()
        for record in valid(history):
            match record.event:
                case PaymentRouted(policy=policy):
                    keeps = policy.keep_late_success
                case ChargeCompensated(attempt_id=attempt_id):
                    self._require(attempt_id not in given_back, vpa, "given back twice")
                    given_back.add(attempt_id)
                case PaymentSucceeded() as event:
                    is_first = ended is None or (isinstance(ended, PaymentFailed) and keeps)
                    self._require(is_first, vpa, "ended, and then succeeded")
                    ended = event
                case PaymentFailed() as event:
                    self._require(ended is None, vpa, "ended, and then failed")
                    ended = event
                case _:
                    pass

    def it_came_to_an_end(self, payment: PaymentId, state: PaymentState) -> None:
        vpa = self._vpa_of(self.records[payment])
        is_ended = isinstance(state, Settled) or (isinstance(state, Open) and not state.attempts)
        self._require(is_ended or not valid(self.records[payment]), vpa, "not settled in time")
        history = self.world.histories[payment]
        self._require(not self.world.is_unfinished(history), vpa, "verification never ended")

    def _vpa_of(self, history: list[Record]) -> str:
        """By which the stories are told; of a payment that was never called it is not known to anybody."""
        payment = payment_of_record(history[0])
        called = (_vpa(c) for c in self.contacts if payment_of(c.charge.attempt_id) == payment)
        told = (a.vpa for a in self.world.answers if a.handled.history[-1].envelope.aggregate_id == payment)
        return next(called, None) or next(told, None) or payment

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
        """Unless it turned out to be a late success that the merchant keeps."""
        payment = answer.handled.history[-1].envelope.aggregate_id
        match fold(answer.handled.history):
            case Settled(result=PaymentFailed()) if not _is_paid(fold(self.records[payment])):
                charged = [entry for entry in self.entries if entry.holds_money and _vpa(entry) == answer.vpa]
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
SETTLED = ("SUCCEEDED", "DECLINED", "NOT_SENT")


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


def _is_paid(state: PaymentState) -> bool:
    return isinstance(state, Settled) and isinstance(state.result, PaymentSucceeded)


def payment_of_record(record: Record) -> PaymentId:
    return PaymentId(record.envelope.aggregate_id)


def _short(event: PaymentEvent) -> str:
    detail = getattr(event, "attempt_id", None) or getattr(event, "claim_id", "")
    return f"{type(event).__name__} {detail}".strip()
