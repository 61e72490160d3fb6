"""The command as an analyst types it."""

import asyncio
import json
import os
import sys
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import pytest

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.kafka.topics import make_topics
from infra.local import ROOT
from infra.local.processes import surroundings
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC
from streams.cli import main
from tests.projections.story import raw
from tests.streams.what_if.histories import a_history

WRONG = 2


def a_file(folder: Path, content: str) -> str:
    file = folder / "policy.json"
    file.write_text(content)
    return str(file)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"weight": {}}', "weight"),
        ('{"weights": {"cost": -1}}', "$.weights.cost"),
        ('{"bandits": {"*": {"sharpness": 100}}}', "sharpness"),
        ("{", "truncated"),
    ],
)
def test_a_policy_that_cannot_be_read_is_refused_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, named: str
) -> None:
    assert main(["what-if", a_file(tmp_path, content)]) == WRONG
    assert named in capsys.readouterr().err


def test_a_file_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["what-if", "/nowhere/policy.json"]) == WRONG
    assert "No such file" in capsys.readouterr().err


@pytest.mark.parametrize("option", [("--from", "yesterday"), ("--by", "weather")])
def test_an_option_that_cannot_be_understood_is_refused(option: tuple[str, str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["what-if", "-", *option])
    assert refused.value.code == WRONG


async def types(stack: Stack, *words: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "streams.cli",
        *words,
        cwd=ROOT,
        env=surroundings(stack.env),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode() + (complained.decode() if process.returncode else "")


@pytest.mark.integration
async def test_payments_of_a_range_are_read_from_the_log_and_judged(stack: Stack, tmp_path: Path) -> None:
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    begin = SystemClock().now()
    publisher = Publisher(settings.kafka_bootstrap_servers, 5_000)
    await publisher.start()
    try:
        records = map(raw, a_history(os.getpid(), 300, begin=begin))
        for partition, several in groupby(records, key=lambda one: one.partition):
            messages = [(one.key, one.value or b"", list(one.headers)) for one in several]
            await publisher.publish(PAYMENTS_TOPIC, partition, messages)
    finally:
        await publisher.stop()
    policy = a_file(tmp_path, '{"bandits": {"*": {"enabled": false}}}')
    asked = ("what-if", policy, "--from", begin.isoformat(), "--by", "method", "--json")
    code, said = await types(stack, *asked)
    assert code == 0, said
    answer = json.loads(said)
    assert answer["payments"] == 300
    assert answer["overall"][0]["metric"] == "first_attempt_success"
    plot = tmp_path / "plot.svg"
    until = begin + timedelta(seconds=100)
    code, said = await types(stack, *asked[:-1], "--to", until.isoformat(), "--plot", str(plot))
    assert code == 0, said
    assert said.startswith("100 payments")
    assert plot.read_text().startswith("<svg")
