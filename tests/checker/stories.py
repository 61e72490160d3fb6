"""Everything that is known of one customer, in the order of true time, as far as clocks allow."""

from schemas.ids import payment_of
from schemas.payment import PaymentEvent
from tests.checker.evidence import Evidence


def story(evidence: Evidence, who: str) -> str:
    payments = {payment_of(contact.attempt_id) for contact in evidence.contacts if contact.who == who}
    payments |= {payment_of(charge.attempt_id) for charge in evidence.charges if charge.who == who}
    payments |= {told.payment_id for told in evidence.told if told.who == who}
    lines: list[tuple[float, str]] = [
        (record.stamp_ms, f"log    {'void ' if record.is_void else ''}epoch {record.envelope.epoch} "
         f"{record.position.offset} {payment[-6:]} {_short(record.event)}")
        for payment in sorted(payments | ({who} & evidence.records.keys()))
        for record in evidence.records.get(payment, ())
    ]  # fmt: skip
    lines += [(c.at_ms, f"call   {c.gateway} {c.attempt_id}") for c in evidence.contacts if c.who == who]
    lines += [(c.at_ms, f"charge {c.gateway} {c.status}") for c in evidence.charges if c.who == who]
    lines += [(told.at_ms, f"told   {told.says}") for told in evidence.told if told.who == who]
    lines += [(note.at_ms, f"told   {note.says}") for note in evidence.notes if note.who == who]
    begun_ms = min((at_ms for at_ms, _ in lines), default=0)
    return "\n".join(f"{at_ms - begun_ms:10.0f}  {line}" for at_ms, line in sorted(lines))


def _short(event: PaymentEvent) -> str:
    detail = getattr(event, "attempt_id", None) or getattr(event, "claim_id", "")
    verdict = getattr(event, "verdict", None) or getattr(event, "reason", "")
    return f"{type(event).__name__} {detail} {verdict}".strip()
