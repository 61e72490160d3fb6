"""The command as an analyst types it."""

import asyncio
import os
import sys
from datetime import timedelta
from itertools import groupby
from pathlib import Path

import msgspec
import pytest

from infra.clock import SystemClock
from infra.kafka.producer import Publisher
from infra.kafka.shadow import KafkaShadowLog
from infra.kafka.topics import make_topics
from infra.local import ROOT
from infra.local.processes import surroundings
from infra.local.stack import Stack
from infra.settings import Settings
from schemas.codec import PAYMENTS_TOPIC, SHADOW_TOPIC
from schemas.ids import PaymentId
from schemas.payment import PaymentRouted
from schemas.routing import Versions
from schemas.routing_configuration import AlternativePolicy, BanditPolicy
from schemas.shadow import PaymentShadowed, ShadowCandidate
from streams.cli import main
from streams.replay.source import Source
from streams.what_if.question import Question, ask, past
from tests.projections.story import BEGIN, raw
from tests.streams.what_if.histories import a_history

WRONG = 2
SCORES = AlternativePolicy(bandits={"*": BanditPolicy(enabled=False)})


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


def shadow_of(routed: PaymentRouted) -> PaymentShadowed:
    """That would always take the last gateway."""
    other = routed.candidates[-1].gateway
    return PaymentShadowed(
        strategy="RULE",
        candidates=(ShadowCandidate(gateway=other, propensity=1.0),),
        routed_to=routed.candidates[0].gateway,
        agrees=False,
        decided_at=BEGIN,
        versions=Versions(),
    )


@pytest.mark.integration
async def test_payments_of_a_range_are_read_from_the_log_and_judged(stack: Stack, tmp_path: Path) -> None:
    settings = Settings.from_environment(stack.env)
    await make_topics(settings)
    begin = SystemClock().now()
    publisher = Publisher(settings.kafka_bootstrap_servers, 5_000)
    await publisher.start()
    try:
        history = list(a_history(os.getpid(), 300, begin=begin))
        for partition, several in groupby(map(raw, history), key=lambda one: one.partition):
            messages = [(one.key, one.value or b"", list(one.headers)) for one in several]
            await publisher.publish(PAYMENTS_TOPIC, partition, messages)
        told = [
            (PaymentId(one.envelope.aggregate_id), shadow_of(one.event))
            for one in history
            if isinstance(one.event, PaymentRouted)
        ]
        await KafkaShadowLog(publisher, SystemClock()).append(told[:200])
    finally:
        await publisher.stop()
    payments, shadows = [
        await past(Source(bootstrap_servers=settings.kafka_bootstrap_servers, topic=topic), begin)
        for topic in (PAYMENTS_TOPIC, SHADOW_TOPIC)
    ]
    found = await ask(Question(SCORES, begin), payments, None, ("method",))
    assert found.payments == 300
    said_by_shadow = await ask(Question(None, begin), payments, shadows, ("method",))
    assert (said_by_shadow.payments, said_by_shadow.agreement) == (200, 0)
    plot, until = tmp_path / "plot.svg", begin + timedelta(seconds=100)
    policy = a_file(tmp_path, msgspec.json.encode(SCORES).decode())
    between = ("--from", begin.isoformat(), "--to", until.isoformat())
    code, said = await types(stack, "what-if", policy, *between, "--by", "method", "--plot", str(plot))
    assert code == 0, said
    assert said.startswith("100 payments")
    assert plot.read_text().startswith("<svg")
    code, said = await types(stack, "what-if", policy, *between, "--by", "method", "--plot", "/dev/full")
    assert (code, "No space left" in said) == (1, True), said
    assert said.startswith("100 payments"), "a plot that cannot be drawn takes no numbers with it"
