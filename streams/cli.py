"""`python -m streams.cli`: what is done by hand, and may be done twice, and the experiments' calculator.

Exit codes: 0 done, 1 not done (the message says why; do it again), 2 wrong arguments, 3 another one is at it. Of
decisions: 1 also where one of them does not follow from what it recorded.
"""

import argparse
import os
import sys

import asyncpg
import uvloop

from infra.postgres.database import describe
from infra.postgres.rebuild import AnotherRebuild
from infra.settings import Settings
from infra.telemetry import configure_logging
from schemas.envelope import LONGEST_WINDOW_MS
from schemas.errors import LogUnavailable
from streams.calculator.command import add_calculations
from streams.decisions import recompute_decisions
from streams.keys import add_keys
from streams.rebuild import LogTooShort, WindowTooShort, rebuild_reservations
from streams.what_if.command import add_what_if

DONE, NOT_DONE, ANOTHER = 0, 1, 3


def main(arguments: list[str]) -> int:
    asked = _parser().parse_args(arguments)
    code: int = asked.run(asked)
    return code


def _settings() -> Settings:
    settings = Settings.from_environment(os.environ)
    configure_logging(settings)
    return settings


def recompute(_: argparse.Namespace) -> int:
    settings = _settings()
    try:
        audit = uvloop.run(recompute_decisions(settings, _tell))
    except LogUnavailable as error:
        _complain(f"not recomputed: {error}")
        return NOT_DONE
    _tell(f"{audit.agree:,} decisions follow from what they recorded")
    if audit.unexplained:
        _tell(f"{audit.unexplained:,} are from before decisions recorded what they were made from")
    if audit.unreadable:
        _complain(f"{audit.unreadable:,} cannot be read")
    if audit.differ:
        _complain(f"{audit.differ:,} do not follow from what they recorded: {', '.join(audit.named)}")
    return NOT_DONE if audit.differ or audit.unreadable else DONE


def rebuild(asked: argparse.Namespace) -> int:
    settings = _settings()
    longest_window_ms = round(asked.longest_window_s * 1000)
    try:
        done = uvloop.run(rebuild_reservations(settings, longest_window_ms, _tell))
    except AnotherRebuild:
        _complain("another rebuild is at it")
        return ANOTHER
    except (LogTooShort, WindowTooShort, LogUnavailable) as error:
        _complain(f"not rebuilt: {error}")
        return NOT_DONE
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        _complain(f"not rebuilt: {describe(error)}")
        return NOT_DONE
    _tell(f"{done.keys:,} keys are in service")
    if done.admitted_twice:
        _complain(f"{done.admitted_twice} payments share a key with another, from before this rebuild")
    if done.left_out:
        _complain(f"{done.left_out} records could not be read: the key of a request among them is free again")
    return DONE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m streams.cli")
    subjects = parser.add_subparsers(required=True, metavar="SUBJECT")
    reservations = subjects.add_parser("reservations", help="the index of idempotency keys")
    verbs = reservations.add_subparsers(required=True, metavar="rebuild")
    verb = verbs.add_parser(
        "rebuild", help="drop the table and fill it again from the log; no payment is admitted meanwhile"
    )
    verb.add_argument(
        "--longest-window-s",
        type=float,
        default=LONGEST_WINDOW_MS / 1000,
        help="how long a process that is forgotten may go on, of whatever settings (default: %(default)s)",
    )
    verb.set_defaults(run=rebuild)
    decisions = subjects.add_parser("decisions", help="the routes that were chosen")
    verbs = decisions.add_subparsers(required=True, metavar="recompute")
    verb = verbs.add_parser("recompute", help="choose every route again from its event alone, and compare")
    verb.set_defaults(run=recompute)
    experiment = subjects.add_parser("experiment", help="the statistics of experiments")
    verbs = experiment.add_subparsers(required=True, metavar="calc")
    add_calculations(verbs.add_parser("calc", help="compute what results are made of, for any numbers"))
    add_what_if(
        subjects.add_parser("what-if", help="what another configuration of routing would have come to")
    )
    keys = subjects.add_parser("key", help="make a key for an operator or a merchant")
    add_keys(keys.add_subparsers(required=True, metavar="operator|merchant"), _tell)
    return parser


def _tell(line: str) -> None:
    print(line, flush=True)


def _complain(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
