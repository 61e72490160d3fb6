"""`history`, `state` and `explain`: everything about one payment, from the log."""

import argparse
from collections.abc import Sequence

import uvloop

from schemas.base import Event
from schemas.codec import PAYMENTS_TOPIC
from schemas.envelope import Recorded
from schemas.ids import PaymentId
from schemas.views import PaymentHistory
from streams.command_line.asking import Subjects, add_cold, add_json, command, moment, payment, settings
from streams.command_line.codes import DONE, NOT_FOUND
from streams.command_line.printing import complain, say, say_json, say_json_lines, say_table, tell_seams
from streams.replay.explanation import Choice, Explanation, explain
from streams.replay.source import Source
from streams.replay.timeline import money, timeline
from streams.replay.trail import state_at, trail

_EXAMPLE = "pay_01kasdf8g0e008000000000001"


def add(subjects: Subjects) -> None:
    for name, run, purpose, examples in (
        (
            "history",
            _history,
            "what happened to a payment, record by record",
            f"{_EXAMPLE}\n{_EXAMPLE} --json\n{_EXAMPLE} --cold cold",
        ),
        (
            "state",
            _state,
            "a payment as it stands, or as it stood at a moment",
            f"{_EXAMPLE}\n{_EXAMPLE} --at 2026-11-23T09:30:00Z",
        ),
        ("explain", _explain, "why a payment went where it went", f"{_EXAMPLE}\n{_EXAMPLE} --json"),
    ):
        parser = command(subjects, name, run, purpose, examples)
        parser.add_argument("payment", type=payment)
        add_cold(parser)
        add_json(parser)
        if name == "state":
            parser.add_argument(
                "--at", type=moment, help="what was appended later is left out (default: now)"
            )


def _history(asked: argparse.Namespace) -> int:
    moments = timeline(_records(asked))
    if not moments:
        return _unknown(asked.payment)
    if asked.json:
        say_json_lines(moments)
        return DONE
    say_table(
        ("appended", "ms", "offset", "epoch", "event", "what"),
        [
            (
                f"{one.stamp:%Y-%m-%d %H:%M:%S}",
                one.since_first_ms,
                one.offset,
                one.epoch,
                one.event,
                f"VOID, too late to count: {one.what}" if one.is_void else one.what,
            )
            for one in moments
        ],
    )
    return DONE


def _state(asked: argparse.Namespace) -> int:
    history = state_at(_records(asked), asked.at)
    if history is None:
        return _unknown(asked.payment)
    if asked.json:
        say_json(history)
    else:
        _show_state(history)
    return DONE


def _explain(asked: argparse.Namespace) -> int:
    found = explain(_records(asked))
    if found is None:
        return _unknown(asked.payment)
    if asked.json:
        say_json(found)
    else:
        _show_explanation(found)
    return DONE


def _records(asked: argparse.Namespace) -> Sequence[Recorded[Event]]:
    found = settings()
    source = Source(bootstrap_servers=found.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC, cold=asked.cold)
    told = uvloop.run(trail(source, found.database_url, asked.payment))
    tell_seams(source.topic, told.seams)
    return told.records


def _unknown(payment_id: PaymentId) -> int:
    complain(f"there is no {payment_id} on the log, or was none then")
    return NOT_FOUND


def _show_state(history: PaymentHistory) -> None:
    payment, order = history.payment, history.payment.order
    facts = [
        ("status", payment.status),
        ("amount", money(order.amount_minor, order.currency) if order else None),
        ("method", order.payment_method if order else None),
        ("merchant", order.merchant_id if order else None),
        ("gateway", payment.gateway),
        ("reference", payment.gateway_reference),
        ("failure", payment.failure.code if payment.failure else None),
        ("strategy", payment.strategy),
        ("created", payment.created_at.isoformat()),
        ("updated", payment.updated_at.isoformat()),
    ]
    say_table(("", payment.payment_id), [fact for fact in facts if fact[1] is not None])
    say("")
    say_table(
        ("attempt", "gateway", "status", "ms", "why", "came to"),
        [
            (
                one.number,
                one.gateway,
                one.status,
                one.latency_ms,
                one.reason,
                one.decline.code if one.decline else one.detail,
            )
            for one in history.attempts
        ],
    )


def _show_explanation(found: Explanation) -> None:
    say(f"{found.payment_id} is {found.status}{f' by {found.gateway}' if found.gateway else ''}")
    if found.experiment:
        say(f"in {found.experiment}")
    for choice in found.choices:
        _show_choice(choice)
    say("")
    say_table(
        ("attempt", "gateway", "why", "status", "came to"),
        [
            (
                one.number,
                one.gateway,
                one.reason,
                one.status,
                one.decline.code if one.decline else one.detail,
            )
            for one in found.attempts
        ],
    )


def _show_choice(choice: Choice) -> None:
    say("")
    say(f"{choice.at:%Y-%m-%d %H:%M:%S} {choice.strategy}: {choice.reason}")
    parts = [f"segment {choice.segment}"] if choice.segment else []
    parts += [f"draw {choice.draw:.4f}"] if choice.draw is not None else []
    parts += [f"rule {choice.rule}"] if choice.rule else []
    say(", ".join([*parts, f"computed again: {choice.recomputed}"]))
    terms = ("success", "uncertainty", "fit", "latency", "cost", "affinity", "priority")
    say_table(
        ("gateway", "put first", "score", *terms, "circuit"),
        [
            (
                one.gateway,
                f"{one.propensity:.1%}" if one.propensity is not None else None,
                one.score,
                *(getattr(one.terms, term) if one.terms else None for term in terms),
                one.circuit,
            )
            for one in choice.candidates
        ],
    )
    for excluded in choice.excluded:
        rule = f", rule {excluded.rule}" if excluded.rule else ""
        say(f"not {excluded.gateway}: {excluded.reason.replace('_', ' ')}{rule}")
