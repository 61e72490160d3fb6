"""What must hold of every run, whether in virtual time or of real processes: nobody is charged twice, nothing is lost.

Each check asks the evidence one question; what it objects to is kept with the whole story of that customer.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from commands.ownership import fold, valid
from commands.payment_state import DECLINED_IN_REVIEW, INITIAL, Open, PaymentState, Settled, evolve
from projections.payments import evolve as project
from projections.verifications import work
from schemas.ids import AttemptId, PaymentId, payment_of
from schemas.payment import (
    AttemptDeclined,
    AttemptNotSent,
    AttemptStarted,
    ChargeCompensated,
    LateSuccessDetected,
    PaymentEvent,
    PaymentFailed,
    PaymentRequested,
    PaymentRouted,
    PaymentSucceeded,
    PaymentTakenOver,
    ReviewSettled,
    VerificationPerformed,
)
from schemas.reliability import DuplicateChargeDetected
from tests.checker.evidence import Charge, Contact, Evidence, Record, Told
from tests.checker.stories import story

SETTLED = ("SUCCEEDED", "DECLINED", "NOT_SENT")


class Violation(AssertionError):
    """A promise that was broken, with the whole story of the payments of that customer."""


class Checker:
    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self._objections: dict[tuple[str, str], None] = {}
        self._charges_by_who: dict[str, list[Charge]] = defaultdict(list)
        self._charges_by_attempt: dict[AttemptId, list[Charge]] = defaultdict(list)
        for charge in evidence.charges:
            self._charges_by_who[charge.who].append(charge)
            self._charges_by_attempt[charge.attempt_id].append(charge)
        self._who: dict[str, str] = {told.payment_id: told.who for told in reversed(evidence.told)}
        for contact in reversed(evidence.contacts):
            self._who[payment_of(contact.attempt_id)] = contact.who
        self._heard = {
            alarm.attempt_id for alarm in evidence.alarms if isinstance(alarm, DuplicateChargeDetected)
        }

    def check(self) -> None:
        """Raises the first Violation."""
        for violation in self.violations():
            raise violation

    def violations(self) -> list[Violation]:
        self.examine()
        return [
            Violation(f"{self.evidence.run}, {who}: {what}\n{story(self.evidence, who)}")
            for who, what in self._objections
        ]

    def examine(self) -> None:
        self.nobody_is_charged_twice()
        self.nobody_is_charged_before_the_first_charge_is_certain()
        for contact in self.evidence.contacts:
            self.a_contact_was_written_ahead(contact)
        for told in self.evidence.told:
            self.a_success_told_is_a_charge(told)
            self.a_failure_told_is_no_charge(told)
        self.a_key_is_one_payment()
        for payment, history in self.evidence.records.items():
            self.an_epoch_has_one_writer(history)
            self.an_end_stays(history)
            self.what_is_paid_was_charged(history)
            self.it_came_to_an_end(PaymentId(payment), history)
            self.a_person_hears_of_what_is_late(history)
            self.what_is_declined_was_declined(history)
            self.projection_and_verifier_agree(history)
        for charge in self.evidence.charges:
            self.a_charge_is_known(charge)
            self.what_was_verified_as_not_sent_is_not_charged_later(charge)

    def nobody_is_charged_twice(self) -> None:
        for who, charges in self._charges_by_who.items():
            held = [charge for charge in charges if charge.holds_money]
            self.require(len(held) <= 1, who, f"charged {len(held)} times")

    def nobody_is_charged_before_the_first_charge_is_certain(self) -> None:
        """Unless the merchant would have it so, or what had failed turned out to have charged: not even for a while."""
        for who, charges in self._charges_by_who.items():
            at_once = [one for one in charges if one.succeeded_at_once and not self._is_hasty(one)]
            self.require(len(at_once) <= 1, who, f"charged {len(at_once)} times at once")

    def _is_hasty(self, charge: Charge) -> bool:
        routed = (record.event for record in self._of(charge) if isinstance(record.event, PaymentRouted))
        return any(event.policy.retry_on_timeout for event in routed)

    def a_charge_is_known(self, charge: Charge) -> None:
        """At the end money is held only for the payment that says so, by the attempt that it names."""
        state = fold(self._of(charge))
        paid_by = state.result.attempt_id if _is_paid(state) else None  # type: ignore[union-attr]
        is_paid = paid_by == charge.attempt_id
        is_held = any(one.holds_money for one in self._charges_by_attempt[charge.attempt_id])
        self.require(is_held == is_paid, charge.who, "money and log do not agree")
        if is_paid and charge.holds_money:
            self.require(charge.is_captured, charge.who, "paid by money that was never captured")

    def what_was_verified_as_not_sent_is_not_charged_later(self, charge: Charge) -> None:
        """Its reference was burnt: the paused sender came too late. (A person who says so burns nothing.)"""
        reviewed = _reviewed(self._of(charge))
        for record in valid(self._of(charge)):
            match record.event:
                case AttemptNotSent(attempt_id=attempt_id, verified=True) if attempt_id not in reviewed:
                    is_late = attempt_id == charge.attempt_id and not charge.is_given_back
                    self.require(not is_late, charge.who, "charged although verified as not sent")

    def what_is_declined_was_declined(self, history: Sequence[Record]) -> None:
        """By the gateway, or by a person: nothing fails by assumption."""
        reviewed = _reviewed(history)
        for record in valid(history):
            match record.event:
                case AttemptDeclined(attempt_id=attempt_id) as declined if attempt_id not in reviewed:
                    charges = self._charges_by_attempt.get(attempt_id, [])
                    is_refused = self.evidence.refusals_leave_no_trace and not (declined.verified or charges)
                    was_declined = is_refused or any(charge.was_declined for charge in charges)
                    self.require(was_declined, self._who_of(history), "declined by assumption")

    def projection_and_verifier_agree(self, history: Sequence[Record]) -> None:
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
                self.require(is_same, self._who_of(history), f"{told} is shown where {known} is known")

    def a_person_hears_of_what_is_late(self, history: Sequence[Record]) -> None:
        for record in valid(history):
            if isinstance(record.event, LateSuccessDetected):
                is_heard = record.event.attempt_id in self._heard
                self.require(is_heard, self._who_of(history), "nobody heard of a late success")

    def an_epoch_has_one_writer(self, history: Sequence[Record]) -> None:
        """Whoever lost the race for an epoch has written nothing but that it wanted it."""
        writers: dict[int, set[str]] = defaultdict(set)
        for record in valid(history):
            if not isinstance(record.event, PaymentTakenOver):
                writers[record.envelope.epoch].add(record.envelope.correlation_id)
        for epoch, found in writers.items():
            what = f"epoch {epoch} was written by {len(found)} writers"
            self.require(len(found) == 1, self._who_of(history), what)

    def an_end_stays(self, history: Sequence[Record]) -> None:
        """Success for ever; failure unless the merchant keeps a late success. Nothing is given back twice."""
        who = self._who_of(history)
        ended: PaymentEvent | None = None
        keeps, given_back = False, set[str]()
        for record in valid(history):
            match record.event:
                case PaymentRouted(policy=policy):
                    keeps = policy.keep_late_success
                case ChargeCompensated(attempt_id=attempt_id):
                    self.require(attempt_id not in given_back, who, "given back twice")
                    given_back.add(attempt_id)
                case PaymentSucceeded() as event:
                    is_first = ended is None or (isinstance(ended, PaymentFailed) and keeps)
                    self.require(is_first, who, "ended, and then succeeded")
                    ended = event
                case PaymentFailed() as event:
                    self.require(ended is None, who, "ended, and then failed")
                    ended = event
                case _:
                    pass

    def what_is_paid_was_charged(self, history: Sequence[Record]) -> None:
        """Whoever said so: not every gateway that signs is the one that was asked."""
        state = fold(history)
        if isinstance(state, Settled) and isinstance(state.result, PaymentSucceeded):
            charges = self._charges_by_attempt.get(state.result.attempt_id, [])
            is_charged = any(charge.holds_money for charge in charges)
            self.require(is_charged, self._who_of(history), "paid by what is in no ledger")

    def it_came_to_an_end(self, payment: PaymentId, history: Sequence[Record]) -> None:
        who, state = self._who_of(history), fold(history)
        is_ended = isinstance(state, Settled) or (isinstance(state, Open) and not state.attempts)
        self.require(is_ended or not valid(history), who, "not settled in time")
        shown = self.evidence.histories.get(payment)
        self.require(shown is not None, who, "not in the read model")
        if shown is not None:
            in_review = any(attempt.in_review for attempt in shown.attempts)
            is_unfinished = in_review or work(shown, self.evidence.close_after).due_at is not None
            self.require(not is_unfinished, who, "verification never ended")

    def a_contact_was_written_ahead(self, contact: Contact) -> None:
        """On the log, valid, and stamped before the call by the broker's clock, give or take its skew."""
        is_written = self.start_of(contact) is not None
        self.require(is_written, contact.who, "a gateway was contacted without a valid start")

    def start_of(self, contact: Contact) -> Record | None:
        """The valid start that was on the log when the gateway was contacted (the clocks' difference apart)."""
        called_ms = contact.at_ms + self.evidence.clocks_differ_by_ms
        for record in self.evidence.records.get(payment_of(contact.attempt_id), ()):
            if isinstance(record.event, AttemptStarted) and record.event.attempt_id == contact.attempt_id:
                return record if not record.is_void and record.stamp_ms <= called_ms else None
        return None

    def a_success_told_is_a_charge(self, told: Told) -> None:
        if told.paid_by is not None:
            charged = [one for one in self._charges_by_attempt.get(told.paid_by, []) if one.holds_money]
            is_charged = len(charged) == 1 and charged[0].is_captured and charged[0].at_ms <= told.at_ms
            self.require(is_charged, told.who, "a success was told that is in no ledger")

    def a_failure_told_is_no_charge(self, told: Told) -> None:
        """Unless it turned out to be a late success that the merchant keeps."""
        if told.has_failed and not _is_paid(fold(self.evidence.records.get(told.payment_id, ()))):
            charged = [charge for charge in self._charges_by_who[told.who] if charge.holds_money]
            self.require(not charged, told.who, "a failure was told, and the customer was charged")

    def a_key_is_one_payment(self) -> None:
        payments: dict[str, set[str]] = defaultdict(set)
        for contact in self.evidence.contacts:
            payments[contact.who].add(payment_of(contact.attempt_id))
        for told in self.evidence.told:
            payments[told.who].add(told.payment_id)
        for who, known in payments.items():
            self.require(len(known) == 1, who, f"one key became {len(known)} payments")
        requested: dict[str, list[Record]] = defaultdict(list)
        for history in self.evidence.records.values():
            first = next((r for r in valid(history) if isinstance(r.event, PaymentRequested)), None)
            if first is not None and isinstance(first.event, PaymentRequested):
                requested[first.event.key_hash].append(first)
        for records in requested.values():
            who = self._who_of(records)
            self.require(len(records) == 1, who, f"one key was requested as {len(records)} payments")

    def require(self, holds: bool, who: str, what: str) -> None:
        if not holds:
            self._objections[who, what] = None

    def _of(self, charge: Charge) -> Sequence[Record]:
        return self.evidence.records.get(payment_of(charge.attempt_id), ())

    def _who_of(self, history: Sequence[Record]) -> str:
        """By which the stories are told; of a payment that was never called it is not known to anybody."""
        payment = history[0].envelope.aggregate_id
        return self._who.get(payment, payment)


def _reviewed(history: Iterable[Record]) -> set[AttemptId]:
    """What a person has decided: any of the decision's events may be the one that is on the log."""
    found: set[AttemptId] = set()
    for record in history:
        match record.event:
            case ReviewSettled(attempt_id=attempt_id):
                found.add(attempt_id)
            case VerificationPerformed(attempt_id=attempt_id, source="review"):
                found.add(attempt_id)
            case AttemptDeclined(attempt_id=attempt_id, decline=decline) if decline == DECLINED_IN_REVIEW:
                found.add(attempt_id)
    return found


def _is_paid(state: PaymentState) -> bool:
    return isinstance(state, Settled) and isinstance(state.result, PaymentSucceeded)
