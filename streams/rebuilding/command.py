"""`python -m streams.cli rebuild`: a read model made anew beside the live one.

Exit codes: 0 done, 1 something differs, 3 a part is away or too slow (do it again: it goes on where it stopped), 4
refused (the message says why), 130 stopped (do it again).
"""

import argparse
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import asyncpg
import uvloop

from infra.postgres.database import describe
from infra.postgres.generations import AnotherAtIt, AnotherDefinition, SwitchPutOff
from infra.settings import Settings
from schemas.errors import FilledByReplay, Unavailable
from streams.command_line.asking import Subjects, add_json, command, settings
from streams.command_line.codes import AWAY, DIFFERS, DONE, REFUSED
from streams.command_line.printing import complain, say, say_json
from streams.rebuilding.differences import Accepted, Differences, NotAcceptable
from streams.rebuilding.metrics import rebuild_metrics
from streams.rebuilding.pacer import LiveTooLate
from streams.rebuilding.payments import Differ, Refused, drop, rebuild_payments, roll_back, status
from streams.replay.errors import Stopped


class ShardsDiffer(Exception):
    """And were not switched."""


def add(subjects: Subjects) -> None:
    rebuild = command(
        subjects,
        "rebuild",
        lambda _: 2,
        "make a read model anew beside the live one, and switch to it",
        "payments --verify-only\npayments --accept attempts.detail\nmetrics\nstatus --json\nrollback\ndrop",
    )
    verbs = rebuild.add_subparsers(required=True, metavar="payments|metrics|status|rollback|drop")
    payments = verbs.add_parser(
        "payments",
        help="make the payments' tables anew from the log, compare every row with the live ones, and switch",
        epilog="Stopped or killed, it goes on from where it was when it is run again.",
    )
    payments.add_argument(
        "--verify-only", action="store_true", help="compare and do not switch; what was made is kept"
    )
    _add_accept(payments)
    payments.set_defaults(run=_command(_rebuild))
    metrics = verbs.add_parser(
        "metrics", help="fold hot metrics anew from the log, and switch the shards that say something else"
    )
    metrics.add_argument("--verify-only", action="store_true", help="compare and do not switch")
    metrics.set_defaults(run=_command(_metrics))
    verb = verbs.add_parser("status", help="which generations stand beside the live one")
    verb.set_defaults(run=_command(_status))
    verb = verbs.add_parser("rollback", help="switch back to the previous generation, brought up to date")
    verb.set_defaults(run=_command(_roll_back))
    verb = verbs.add_parser(
        "drop", help="drop an unfinished generation, and the previous one if it says what the live one says"
    )
    verb.add_argument(
        "--unproven", action="store_true", help="drop the previous generation without a comparison"
    )
    _add_accept(verb)
    verb.set_defaults(run=_command(_drop))
    for verb in verbs.choices.values():
        add_json(verb)


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--accept",
        action="append",
        default=[],
        metavar="TABLE[.COLUMN]",
        help="differs on purpose, since the fold was changed: attempts.detail, or all of attempts; may be repeated",
    )


Answer = tuple[str, Mapping[str, object]]
"""For people, and for programs."""


async def _rebuild(settings: Settings, asked: argparse.Namespace) -> Answer:
    compared = await rebuild_payments(settings, Accepted.of(asked.accept), asked.verify_only, complain)
    found = {"alike": compared, "is_switched": not asked.verify_only}
    alike = f"{compared:,} payments are alike"
    if asked.verify_only:
        return f"{alike}; what was made stands beside the live tables", found
    what_now = "`rebuild rollback` goes back, `rebuild drop` drops the old ones"
    return f"{alike}, and the new tables are live; {what_now}", found


async def _metrics(settings: Settings, asked: argparse.Namespace) -> Answer:
    rebuilt = await rebuild_metrics(settings, asked.verify_only, complain)
    if rebuilt.switched != rebuilt.differing:
        raise ShardsDiffer(f"{len(rebuilt.differing) - len(rebuilt.switched)} partitions differ")
    return (
        f"all partitions are what the log says; {len(rebuilt.switched)} were switched",
        {"switched": rebuilt.switched},
    )


async def _roll_back(settings: Settings, _: argparse.Namespace) -> Answer:
    await roll_back(settings, complain)
    return (
        "the previous tables are live again, and those that were live are the previous ones",
        {"is_switched": True},
    )


async def _drop(settings: Settings, asked: argparse.Namespace) -> Answer:
    dropped = await drop(settings, Accepted.of(asked.accept), asked.unproven, complain)
    line = f"dropped {' and '.join(sorted(dropped))}" if dropped else "there was nothing to drop"
    return line, {"dropped": sorted(dropped)}


async def _status(settings: Settings, _: argparse.Namespace) -> Answer:
    standing = await status(settings)
    lines = [f"{name}: {behind:,} records behind the live tables" for name, behind in standing.items()]
    return "\n".join(lines) or "nothing stands beside the live tables", {"behind": standing}


def _command(
    work: Callable[[Settings, argparse.Namespace], Coroutine[Any, Any, Answer]],
) -> Callable[[argparse.Namespace], int]:
    def run(asked: argparse.Namespace) -> int:
        try:
            line, found = uvloop.run(work(settings(), asked))
        except Differ as error:
            if asked.json:
                say_json(_told(error.differences))
            else:
                _complain_of(error.differences)
            return DIFFERS
        except ShardsDiffer as error:
            complain(f"{error} and were left as they are")
            return DIFFERS
        except AnotherAtIt:
            return _refuse("another rebuild, rollback or drop is at it")
        except AnotherDefinition as error:
            return _refuse(f"{error}; drop what is unfinished and begin anew")
        except NotAcceptable as error:
            return _refuse(f"no table or column that may differ: {error}")
        except (Refused, FilledByReplay) as error:
            return _refuse(str(error))
        except (Unavailable, SwitchPutOff, LiveTooLate) as error:
            if isinstance(error.__cause__, asyncpg.InsufficientPrivilegeError):
                raise  # to do it again would not help
            complain(f"not done, do it again: {error}")
            return AWAY
        except asyncpg.InsufficientPrivilegeError:
            raise  # nor here
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            complain(f"not done, do it again: {describe(error)}")
            return AWAY
        except KeyboardInterrupt:
            raise Stopped from None
        if asked.json:
            say_json(found)
        else:
            say(line)
        return DONE

    return run


def _refuse(why: str) -> int:
    complain(f"refused: {why}")
    return REFUSED


def _told(differences: Differences) -> Mapping[str, object]:
    return {
        "differ": differences.payments,
        "columns": differences.columns,
        "examples": differences.examples,
    }


def _complain_of(differences: Differences) -> None:
    complain(f"not switched: {differences.payments:,} payments differ")
    for column, rows in differences.columns.most_common():
        complain(f"  {column}: {rows:,} rows")
    for one in differences.examples:
        complain(
            f"  {one.payment_id} {one.table} {one.key} {one.column}: {one.live!r}, rebuilt {one.rebuilt!r}"
        )
