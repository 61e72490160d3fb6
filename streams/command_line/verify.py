"""`verify`: is what is stored what the log says?"""

import argparse

import uvloop

from schemas.codec import PAYMENTS_TOPIC
from streams.command_line.asking import Subjects, add_cold, add_json, add_processes, command, settings
from streams.command_line.codes import DIFFERS, DONE
from streams.command_line.printing import progress, say, say_json, say_table, tell_seams
from streams.replay.processes import processes_for
from streams.replay.source import Source
from streams.replay.verify import projected, verify
from streams.replay.verify_experiments import projected as summed
from streams.replay.verify_experiments import stored_sums, verify_experiments
from streams.replay.verify_stores import Compared, verify_circuits, verify_metrics


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "verify",
        lambda _: 2,
        "what is stored against a fold of the log",
        "payments\npayments --json\npayments --cold cold\nmetrics\ncircuits\nexperiments",
    )
    stores = parser.add_subparsers(required=True, metavar="payments|metrics|circuits|experiments")
    payments = stores.add_parser(
        "payments",
        help="the read model in Postgres, row for row",
        description="the read model in Postgres, row for row; records of long partitions are put aside in TMPDIR "
        "meanwhile, some hundred bytes each",
    )
    add_cold(payments)
    add_processes(payments)
    add_json(payments)
    payments.set_defaults(run=_payments)
    experiments = stores.add_parser(
        "experiments",
        help="the sums in Postgres that results answer from",
        description="the sums in Postgres that results answer from, of arms and of customers, all of which are held in "
        "memory: some kilobyte each",
    )
    add_processes(experiments)
    add_json(experiments)
    experiments.set_defaults(run=_experiments)
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
    return DONE if verified.agrees else DIFFERS


def _experiments(asked: argparse.Namespace) -> int:
    found = settings()
    stored = stored_sums(found)
    records = summed(stored).records
    with progress("verified", records) as tell:
        compared = verify_experiments(found, stored, processes_for(records, asked.processes), tell)
    return _say(compared, asked)


def _store(asked: argparse.Namespace) -> int:
    return _say(uvloop.run(asked.check(settings())), asked)


def _say(compared: Compared, asked: argparse.Namespace) -> int:
    if asked.json:
        say_json(compared)
    else:
        say(f"{compared.entries:,} compared: {compared.differences:,} differences")
        if compared.named:
            say_table(
                ("", "stored", "by the log"), [(one.name, one.stored, one.folded) for one in compared.named]
            )
    return DONE if compared.agrees else DIFFERS
