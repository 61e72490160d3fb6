"""What is left after a run: on the real topics, in the gateways' ledger, in the tables, and in the ears of clients."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast

from infra.postgres.database import Database
from infra.postgres.payments import PostgresPaymentSink
from schemas.base import Value
from schemas.codec import NOTIFICATIONS_TOPIC, PAYMENTS_TOPIC, RELIABILITY_TOPIC
from schemas.envelope import Recorded
from schemas.ids import AttemptId, GatewayId, PaymentId
from schemas.notification import NotificationMessage
from schemas.reliability import ReliabilityEvent
from schemas.views import PaymentHistory
from tests.chaos.learned import Learned
from tests.chaos.listeners import Heard
from tests.chaos.shoppers import Purchase, who_pays
from tests.checker.evidence import Charge, Contact, Evidence, Note, Told
from tests.product import Client, Product, read_records, read_topic

LOADED_AT_ONCE = 500
NO_CHARGE = AttemptId("in no ledger")


class Aftermath(Value, frozen=True, kw_only=True):
    """`used` are the messages that the verifier's table has as used, by who sent them and the sender's own id."""

    evidence: Evidence
    purchases: Sequence[Purchase]
    ledger: Sequence[Mapping[str, Any]]
    messages: Sequence[Recorded[NotificationMessage]]
    used: frozenset[tuple[str, str]]
    learned: Learned
    heard: Heard


async def gathered(
    run: str,
    product: Product,
    client: Client,
    database: Database,
    purchases: Sequence[Purchase],
    learned: Learned,
    heard: Heard,
) -> Aftermath:
    records, ledger = await read_topic(product.stack), await client.ledger()
    alarms = [record.event for record in await read_records(product.stack, RELIABILITY_TOPIC)]
    messages = await read_records(product.stack, NOTIFICATIONS_TOPIC)
    return Aftermath(
        evidence=Evidence(
            run=run,
            records=records,
            histories=await _read_model(database, list(records)),
            charges=[_charge(charge) for charge in ledger],
            contacts=[_contact(charge) for charge in ledger],
            told=list(_told(purchases, ledger)),
            alarms=cast(list[ReliabilityEvent], alarms),
            notes=list(_notes(purchases)),
            refusals_leave_no_trace=True,
        ),
        purchases=purchases,
        ledger=ledger,
        messages=cast(list[Recorded[NotificationMessage]], messages),
        used=await _used(database),
        learned=learned,
        heard=heard,
    )


async def _read_model(database: Database, payments: list[str]) -> dict[PaymentId, PaymentHistory]:
    histories: dict[PaymentId, PaymentHistory] = {}
    async with PostgresPaymentSink(database).transaction(PAYMENTS_TOPIC, ()) as transaction:
        for start in range(0, len(payments), LOADED_AT_ONCE):
            histories |= await transaction.load(
                [PaymentId(one) for one in payments[start : start + LOADED_AT_ONCE]]
            )
    return histories


async def _used(database: Database) -> frozenset[tuple[str, str]]:
    sql = "SELECT gateway, event_id FROM notifications WHERE used_at IS NOT NULL"
    return frozenset((row["gateway"], row["event_id"]) for row in await database.fetch(sql, timeout_s=30))


def _charge(charge: Mapping[str, Any]) -> Charge:
    statuses: list[str] = charge["statuses"]
    status = statuses[-1]
    first_end = next((one for one in statuses if one != "pending"), "pending")
    return Charge(
        who=who_pays(charge["amount_minor"]),
        attempt_id=AttemptId(charge["reference"]),
        gateway=GatewayId(charge["gateway"]),
        at_ms=charge["charged_at_ms"],
        status=" → ".join(statuses),
        succeeded_at_once=first_end in ("captured", "authorized", "refunded"),
        was_declined="declined" in statuses,
        holds_money=status in ("captured", "authorized"),
        is_captured=status == "captured",
        is_given_back=status in ("refunded", "voided"),
    )


def _contact(charge: Mapping[str, Any]) -> Contact:
    return Contact(
        who=who_pays(charge["amount_minor"]),
        attempt_id=AttemptId(charge["reference"]),
        gateway=GatewayId(charge["gateway"]),
        at_ms=charge["charged_at_ms"],
    )


def _told(purchases: Iterable[Purchase], ledger: Iterable[Mapping[str, Any]]) -> Iterator[Told]:
    attempts = {(charge["gateway"], charge["id"]): AttemptId(charge["reference"]) for charge in ledger}
    for purchase in purchases:
        for post in purchase.posts:
            status, body = post.answer.status, post.answer.body
            if status in (201, 202, 402):
                charge = (body["gateway"], body["gateway_reference"])
                yield Told(
                    who=purchase.who,
                    payment_id=PaymentId(body["payment_id"]),
                    at_ms=post.answered_ms,
                    says=f"{status} {body['status']}",
                    paid_by=attempts.get(charge, NO_CHARGE) if status == 201 else None,
                    has_failed=status == 402,
                )


def _notes(purchases: Iterable[Purchase]) -> Iterator[Note]:
    for purchase in purchases:
        for post in purchase.posts:
            yield Note(who=purchase.who, at_ms=post.sent_ms, says="(posted)")
            if post.answer.status not in (201, 202, 402):
                yield Note(who=purchase.who, at_ms=post.answered_ms, says=str(post.answer))
