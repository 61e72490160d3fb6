"""`verify`: is what is stored what the log says?"""

import argparse

import uvloop

from schemas.codec import PAYMENTS_TOPIC
from streams.command_line.asking import Subjects, add_cold, add_json, add_processes, command, settings
from streams.command_line.printing import progress, say, say_json, say_table, tell_seams
from streams.replay.processes import processes_for
from streams.replay.source import Source
from streams.replay.verify import projected, verify
from streams.replay.verify_stores import verify_circuits, verify_metrics

AGREES, DIFFERS = 0, 1


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "verify",
        lambda _: 2,
        "what is stored against a fold of the log",
        "payments\npayments --json\npayments --cold cold\nmetrics\ncircuits",
    )
    stores = parser.add_subparsers(required=True, metavar="payments|metrics|circuits")
    payments = stores.add_parser("payments", help="the read model in Postgres, row for row")
    add_cold(payments)
    add_processes(payments)
    add_json(payments)
    payments.set_defaults(run=_payments)
    for name, check, purpose in (
        ("metrics", verify_metrics, "the tallies of the hour in Redis"),
        ("circuits", verify_circuits, "the views of circuits in Postgres"),
    ):
        store = stores.add_parser(name, help=purpose)
        add_json(store)
        store.set_defaults(run=_store, check=check)


def _payments(asked: argparse.Namespace) -> int:
    found = settings()
    source = Source(bootstrap_servers=found.kafka_bootstrap_servers, topic=PAYMENTS_TOPIC, cold=asked.cold)
    plan = uvloop.run(projected(source, found.database_url))
    tell_seams(plan.topic, plan.seams)
    with progress("verified", plan.records) as tell:
        verified = verify(
            source, plan, found.database_url, processes_for(plan.records, asked.processes), tell
        )
    if asked.json:
        say_json(verified)
    else:
        say(
            f"{verified.payments:,} payments of {verified.records:,} records: {verified.differences:,} differences"
        )
        if verified.named:
            say_table(
                ("payment", "", "what differs"),
                [(one.payment_id, one.kind, ", ".join(one.fields)) for one in verified.named],
            )
    return AGREES if verified.agrees else DIFFERS


def _store(asked: argparse.Namespace) -> int:
    compared = uvloop.run(asked.check(settings()))
    if asked.json:
        say_json(compared)
    else:
        say(f"{compared.entries:,} compared: {compared.differences:,} differences")
        if compared.named:
            say_table(
                ("", "stored", "by the log"), [(one.name, one.stored, one.folded) for one in compared.named]
            )
    return AGREES if compared.agrees else DIFFERS
