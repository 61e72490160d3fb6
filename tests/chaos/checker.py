"""What can be asked of real processes only, beside what must hold of every run: rows, messages, answers over HTTP."""

import re

from api.answers import payment_answer
from projections.payments import evolve
from schemas.envelope import Position
from schemas.ids import CustomerToken
from schemas.notification import GatewayNotified
from schemas.payment import PaymentRequested
from schemas.views import PaymentHistory
from tests.chaos.aftermath import Aftermath
from tests.chaos.shoppers import Post, Purchase, who_pays
from tests.checker import checker
from tests.product import plain

MAY_BE_ANSWERED = (0, 201, 202, 402, 409, 422, 503)
ACKNOWLEDGED = (201, 202, 402)
TOKEN = re.compile(r"(.+)-(\d+):(\d+)")


class Checker(checker.Checker):
    def __init__(self, aftermath: Aftermath) -> None:
        super().__init__(aftermath.evidence)
        self._aftermath = aftermath
        for payment, history in aftermath.evidence.records.items():
            for record in history:
                if isinstance(record.event, PaymentRequested):
                    self._who.setdefault(payment, who_pays(record.event.order.amount_minor))

    def examine(self) -> None:
        super().examine()
        for purchase in self._aftermath.purchases:
            self.it_was_acknowledged_at_last(purchase)
            for post in purchase.posts:
                self.an_answer_is_one_that_a_client_expects(purchase, post)
                if post.answer.status in ACKNOWLEDGED:
                    self.an_answer_is_what_the_log_says(purchase, post)
        self.rows_are_the_fold_of_the_topic()
        self.no_message_is_lost()
        self.no_customer_may_still_pay()
        self.what_was_learned_is_the_fold_of_the_topics()
        self.whoever_subscribed_was_told()

    def it_was_acknowledged_at_last(self, purchase: Purchase) -> None:
        self.require(purchase.is_acknowledged, purchase.who, "nobody could tell what became of a key")

    def an_answer_is_one_that_a_client_expects(self, purchase: Purchase, post: Post) -> None:
        is_expected = post.answer.status in MAY_BE_ANSWERED
        self.require(is_expected, purchase.who, f"answered {post.answer}")

    def an_answer_is_what_the_log_says(self, purchase: Purchase, post: Post) -> None:
        """Word for word, up to the record that its token names."""
        position = _position(post.answer.headers["Consistency-Token"])
        history: PaymentHistory | None = None
        for record in self.evidence.records.get(post.answer.payment_id, ()):
            if record.position <= position:
                history = evolve(history, record)
        said = None if history is None else plain(payment_answer(history.payment, _whose(history, purchase)))
        self.require(said == post.answer.body, purchase.who, "told what the log does not say")

    def rows_are_the_fold_of_the_topic(self) -> None:
        for payment, records in self.evidence.records.items():
            history: PaymentHistory | None = None
            for record in records:
                history = evolve(history, record)
            shown = self.evidence.histories.get(records[0].envelope.aggregate_id)  # type: ignore[call-overload]
            self.require(shown == history, self._who.get(payment, payment), "the read model is not its log")

    def no_message_is_lost(self) -> None:
        """Everything that was accepted is in the verifier's table, and used."""
        for message in self._aftermath.messages:
            event, payment = message.event, message.envelope.aggregate_id
            name = (
                (event.gateway, event.event_id)
                if isinstance(event, GatewayNotified)
                else ("", event.decision_id)
            )
            who = self._who.get(payment, payment)
            self.require(name in self._aftermath.used, who, "a message was lost or never used")

    def no_customer_may_still_pay(self) -> None:
        for charge in self.evidence.charges:
            self.require(
                charge.status[-7:] != "pending", charge.who, "a customer may still pay what is settled"
            )

    def what_was_learned_is_the_fold_of_the_topics(self) -> None:
        stored, folded = self._aftermath.learned.stored, self._aftermath.learned.folded
        for name in sorted(stored.keys() | folded.keys()):
            self.require(stored.get(name) == folded.get(name), name, "is not what its log says")

    def whoever_subscribed_was_told(self) -> None:
        """At least once, of every event, signed; and of nothing else."""
        heard = self._aftermath.heard
        self.require(heard.unverified == 0, "webhooks", "a delivery came with a signature that does not fit")
        for (name, event), deliveries in heard.due.items():
            self.require(bool(deliveries & heard.received[name].keys()), name, f"was never told of {event}")
        for name, received in heard.received.items():
            self.require(received.keys() <= heard.of_anything, name, "was told of what is not on the log")


def _whose(history: PaymentHistory, purchase: Purchase) -> dict[CustomerToken, str]:
    """The log has a token, and the client hears the id that it gave."""
    order = history.payment.order
    return {} if order is None else {CustomerToken(order.customer_id): purchase.body["customer_id"]}


def _position(token: str) -> Position:
    match = TOKEN.fullmatch(token)
    assert match is not None, token
    return Position(topic=match[1], partition=int(match[2]), offset=int(match[3]))
