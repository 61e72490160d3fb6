"""`payments-gateway`, or `python -m streams.cli`: what analysts and operators ask of the log, and what is done by hand.

Exit codes: 0 done, 1 differences, nothing found, or not done (the message says why), 2 wrong arguments, 3 a server is
away or refuses us, 4 refused (a gap, what retention took), 130 stopped. Of `reservations` and `decisions`: 1 not done
(do it again), or a decision that does not follow from what it recorded, 3 another one is at it.
"""

import argparse
import os
import sys

import asyncpg
import uvloop

from infra.postgres.database import describe
from infra.postgres.rebuild import AnotherRebuild
from schemas.envelope import LONGEST_WINDOW_MS
from schemas.errors import FilledByReplay, LogBroken, LogUnavailable, NoSuchTopic, Unavailable
from streams.calculator.command import add_calculations
from streams.command_line import dead_letters, export, lag, metrics, payment, replay, tail, verify
from streams.command_line.asking import settings
from streams.command_line.codes import AWAY, CUT_OFF, DONE, NOT_DONE, REFUSED, STOPPED, WRONG
from streams.command_line.printing import complain, say
from streams.decisions import recompute_decisions
from streams.keys import add_keys
from streams.rebuild import LogTooShort, WindowTooShort, rebuild_reservations
from streams.rebuilding import command as rebuilding
from streams.replay.errors import FolderTaken, ProcessLost, Stopped, StoreTaken
from streams.what_if import command as what_if

ANOTHER = 3
"""A rebuild of the reservations is at it."""

COMMANDS = (payment, tail, lag, metrics, export, replay, verify, rebuilding, what_if, dead_letters)


def main(arguments: list[str]) -> int:
    asked = parser().parse_args(arguments)
    try:
        code: int = asked.run(asked)
    except BrokenPipeError:
        raise
    except NoSuchTopic as error:
        complain(str(error))
        return WRONG
    except (LogBroken, FolderTaken, StoreTaken, FilledByReplay) as error:
        complain(f"refused: {error}")
        return REFUSED
    except (Unavailable, ConnectionError, TimeoutError) as error:
        complain(f"not done, a server is away or refuses us: {error}")
        return AWAY
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        complain(f"not done, Postgres refuses us: {describe(error)}")
        return AWAY
    except (ProcessLost, OSError) as error:
        complain(f"not done: {error}")
        return NOT_DONE
    except Stopped:
        complain("stopped: the same command goes on from here, or makes its file anew")
        return STOPPED
    except KeyboardInterrupt:
        complain("stopped")
        return STOPPED
    return code


def run() -> None:
    """What `payments-gateway` is, where it is installed."""
    try:
        code = main(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or its end would complain again
        code = CUT_OFF
    sys.exit(code)


def recompute(_: argparse.Namespace) -> int:
    try:
        audit = uvloop.run(recompute_decisions(settings(), say))
    except LogUnavailable as error:
        complain(f"not recomputed: {error}")
        return NOT_DONE
    say(f"{audit.agree:,} decisions follow from what they recorded")
    if audit.unexplained:
        say(f"{audit.unexplained:,} are from before decisions recorded what they were made from")
    if audit.unreadable:
        complain(f"{audit.unreadable:,} cannot be read")
    if audit.differ:
        complain(f"{audit.differ:,} do not follow from what they recorded: {', '.join(audit.named)}")
    return NOT_DONE if audit.differ or audit.unreadable else DONE


def rebuild(asked: argparse.Namespace) -> int:
    longest_window_ms = round(asked.longest_window_s * 1000)
    try:
        done = uvloop.run(rebuild_reservations(settings(), longest_window_ms, say))
    except AnotherRebuild:
        complain("another rebuild is at it")
        return ANOTHER
    except (LogTooShort, WindowTooShort, LogUnavailable) as error:
        complain(f"not rebuilt: {error}")
        return NOT_DONE
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        complain(f"not rebuilt: {describe(error)}")
        return NOT_DONE
    say(f"{done.keys:,} keys are in service")
    if done.admitted_twice:
        complain(f"{done.admitted_twice} payments share a key with another, from before this rebuild")
    if done.left_out:
        complain(f"{done.left_out} records could not be read: the key of a request among them is free again")
    return DONE


def parser() -> argparse.ArgumentParser:
    is_installed = sys.argv[0].endswith("payments-gateway")
    parser = argparse.ArgumentParser(prog="payments-gateway" if is_installed else "python -m streams.cli")
    subjects = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in COMMANDS:
        module.add(subjects)
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
    keys = subjects.add_parser("key", help="make a key for an operator or a merchant")
    add_keys(keys.add_subparsers(required=True, metavar="operator|merchant"), say)
    return parser


if __name__ == "__main__":
    run()
