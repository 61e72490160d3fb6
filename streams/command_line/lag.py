"""`lag`: how far each consumer is behind the log, as the API sees it."""

import argparse
from typing import Any

import aiohttp
import uvloop

from schemas.errors import Unavailable
from streams.command_line.asking import Subjects, add_json, command, settings
from streams.command_line.codes import DONE
from streams.command_line.printing import complain, say_json, say_table

WITHIN_S = 5.0


def add(subjects: Subjects) -> None:
    parser = command(
        subjects,
        "lag",
        _lag,
        "how far each consumer is behind the log",
        "--api http://127.0.0.1:3000\n--json",
    )
    parser.add_argument("--api", metavar="URL", help="of a running API (default: the one at BIND_ADDR, here)")
    add_json(parser)


def _lag(asked: argparse.Namespace) -> int:
    _, _, port = settings().bind_addr.rpartition(":")
    answer = uvloop.run(_ask(asked.api or f"http://127.0.0.1:{port}"))
    if asked.json:
        say_json(answer)
        return DONE
    for source in answer["sources"]:
        if not source["ok"]:
            complain(f"{source['name']}: {source['detail']}")
    columns = (
        "group",
        "topic",
        "partition",
        "watermark",
        "group_offset",
        "end_offset",
        "lag",
        "time_lag_ms",
        "status",
    )
    say_table(columns, [[row[column] for column in columns] for row in answer["partitions"]])
    return DONE


async def _ask(api: str) -> Any:
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S)) as client,
            client.get(f"{api.rstrip('/')}/ops/lag", raise_for_status=True) as answer,
        ):
            return await answer.json()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise Unavailable(f"{api} does not answer: {type(error).__name__} {error}") from error
