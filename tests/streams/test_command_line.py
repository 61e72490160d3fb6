"""`payments-gateway` as somebody types it: what it answers, and by which code a program knows how it went."""

import asyncio
import json
import re
import shlex
import subprocess
import sys
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from infra.clock import SystemClock
from infra.kafka.partition import partition_for
from infra.kafka.producer import Publisher
from infra.kafka.topics import DEAD_LETTERS_TOPIC, make_topics
from infra.local import ROOT
from infra.local.stack import Stack
from schemas.codec import PAYMENTS_TOPIC
from schemas.ids import PaymentId
from streams.cli import main, parser
from streams.command_line.codes import REFUSED
from tests.bench.history import life, messages_of
from tests.projections.outcomes import SUCCESS
from tests.streams.replay.world import World, interrupted
from tests.waiting import ACKNOWLEDGED_WITHIN_MS, HANGS_AFTER_S

AWAY = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


@pytest.fixture(scope="module")
def world(stack: Stack) -> World:
    return World(stack.env, partitions=1)


@pytest.fixture
async def payment(world: World) -> PaymentId:
    """One that was paid a moment ago, and that no projection has seen."""
    clock = SystemClock()
    payment = clock.payment_id()
    settings = world.settings
    await make_topics(settings)
    publisher = Publisher(settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    events = life(SUCCESS, "alpha", "bank", clock.now() - timedelta(seconds=1))
    await publisher.publish(PAYMENTS_TOPIC, partition_for(payment), messages_of(payment, events))
    await publisher.stop()
    return payment


@pytest.mark.integration
async def test_a_payment_is_told_by_its_id_record_by_record(world: World, payment: PaymentId) -> None:
    code, said, _ = await world.types("history", payment, "--json")
    assert code == 0
    assert [json.loads(line)["event"] for line in said.splitlines()] == [
        "PaymentRequested",
        "PaymentRouted",
        "AttemptStarted",
        "AttemptSucceeded",
        "PaymentSucceeded",
    ]
    code, said, _ = await world.types("history", payment)
    assert (code, len(said.splitlines()), "charged by alpha" in said) == (0, 6, True), said


@pytest.mark.integration
async def test_a_payment_is_shown_as_it_stands_and_not_where_it_did_not_exist_yet(
    world: World, payment: PaymentId
) -> None:
    code, said, _ = await world.types("state", payment, "--json")
    assert (code, json.loads(said)["payment"]["status"]) == (0, "SUCCESS")
    code, said, _ = await world.types("state", payment, "--at", "2020-01-01")
    assert (code, said) == (1, "")


@pytest.mark.integration
async def test_a_payment_is_explained(world: World, payment: PaymentId) -> None:
    code, said, _ = await world.types("explain", payment)
    assert (code, "SUCCESS" in said, "not gamma: method" in said) == (0, True, True), said


@pytest.mark.integration
async def test_records_are_told_as_they_come_until_somebody_interrupts(
    world: World, payment: PaymentId
) -> None:
    process = await world.begins("tail", "--from", "10m", "--key", payment, "--type", "PaymentSucceeded")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
    assert line.split()[2:4] == [payment, "PaymentSucceeded"], line
    code, _, complained = await interrupted(process)
    assert (code, complained) == (130, "stopped\n")


@pytest.mark.integration
async def test_whatever_is_interrupted_says_so_in_a_line(world: World) -> None:
    """A broker that takes a connection and never answers keeps a plan waiting."""
    asked, closed = asyncio.Event(), asyncio.Event()

    async def hears(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        await reader.read()
        writer.close()
        closed.set()

    async with await asyncio.start_server(hears, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        process = await world.begins("dead-letters", "list", KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{port}")
        async with asyncio.timeout(HANGS_AFTER_S):
            await asked.wait()
        assert await interrupted(process) == (130, "", "stopped\n")
        async with asyncio.timeout(HANGS_AFTER_S):
            await closed.wait()


@pytest.mark.integration
@pytest.mark.parametrize("path", ["/no_such_database", "/postgres?sslmode=perhaps"])
async def test_a_postgres_that_lets_nobody_in_is_away_and_payments_are_told_without_it(
    world: World, payment: PaymentId, path: str
) -> None:
    url = world.settings.database_url.rpartition("/")[0] + path
    code, said, complained = await world.types("history", payment, "--json", DATABASE_URL=url)
    assert (code, len(said.splitlines())) == (0, 5), complained
    code, said, complained = await world.types("verify", "circuits", DATABASE_URL=url)
    assert (code, said, "no connection" in complained.splitlines()[-1]) == (3, "", True), complained


@pytest.mark.integration
async def test_lag_is_what_a_running_api_says(world: World) -> None:
    row = {
        "group": "projections-v1",
        "topic": PAYMENTS_TOPIC,
        "partition": 3,
        "watermark": 5,
        "group_offset": None,
        "end_offset": 7,
        "lag": 2,
        "time_lag_ms": 20,
        "status": "moving",
    }
    sources = [{"name": "offsets of a group", "ok": False, "detail": "no broker", "age_ms": None}]

    async def lag(_: web.Request) -> web.Response:
        return web.json_response({"partitions": [row], "sources": sources})

    app = web.Application()
    app.router.add_get("/ops/lag", lag)
    async with TestServer(app) as api:
        code, said, complained = await world.types("lag", "--api", str(api.make_url("/")))
    assert (code, said.splitlines()[1].split()) == (
        0,
        ["projections-v1", PAYMENTS_TOPIC, "3", "5", "7", "2", "20", "moving"],
    )
    assert "offsets of a group: no broker" in complained
    code, _, complained = await world.types("lag", "--api", "http://127.0.0.1:1")
    assert (code, "does not answer" in complained) == (3, True), complained


@pytest.mark.integration
async def test_dead_letters_are_listed_and_shown_and_one_that_there_is_not_is_said_to_be_none(
    world: World, payment: PaymentId
) -> None:
    publisher = Publisher(world.settings.kafka_bootstrap_servers, ACKNOWLEDGED_WITHIN_MS)
    await publisher.start()
    told = [("dl_reader", b"audit"), ("dl_reason", b"no such event"), ("dl_topic", b"t"), ("dl_offset", b"4")]
    (place,) = await publisher.publish(DEAD_LETTERS_TOPIC, 0, [(payment.encode(), b"{", told)])
    await publisher.stop()
    code, said, _ = await world.types("dead-letters", "list", "--reader", "audit", "--json")
    assert (code, json.loads(said.splitlines()[-1])["reason"]) == (0, "no such event")
    code, said, _ = await world.types("dead-letters", "show", str(place.offset))
    assert (code, json.loads(said)["key"]) == (0, payment)
    code, said, _ = await world.types("dead-letters", "retry", str(place.offset))
    assert (code, "not of payments" in said) == (1, True), said
    assert (await world.types("dead-letters", "show", "99999999"))[0] == 1


@pytest.mark.integration
@pytest.mark.parametrize("words", [("history", "PAYMENT"), ("export", "folder")])
async def test_a_broker_that_is_away_has_a_code_of_its_own(world: World, words: tuple[str, ...]) -> None:
    typed = [SystemClock().payment_id() if word == "PAYMENT" else word for word in words]
    code, said, complained = await world.types(*typed, **AWAY)
    assert (code, said, "a server is away" in complained) == (3, "", True), complained


@pytest.mark.integration
async def test_a_topic_or_a_partition_that_is_mistyped_is_a_wrong_argument(world: World) -> None:
    await world.open()
    for words, named in ((("misspelt",), "no misspelt"), ((world.topic, "--partitions", "99"), "no 99")):
        code, said, complained = await world.types("export", "folder", "--topic", *words)
        assert (code, said, named in complained) == (2, "", True), complained


@pytest.mark.integration
async def test_a_range_that_is_not_on_the_log_is_refused_by_a_code_of_its_own(world: World) -> None:
    await world.open()
    code, said, complained = await world.types("export", "--topic", world.topic, "--to-offset", "9", "folder")
    assert (code, said, "ends at offset 0, and 9 was asked for" in complained) == (4, "", True), complained


@pytest.mark.parametrize(
    "line",
    [
        "",
        "history",
        "history pay_1",
        "state pay_01kasdf8g0e008000000000001 --at noon",
        "export --from 2026-11-23 --from-offset 3 folder",
        "export --partitions all folder",
        "export --from-offset -5 folder",
        "export pyproject.toml",
        "metrics --from 99999999999d",
        "metrics --by gateway,gateway",
        "what-if policy.json --by method,method",
        "what-if policy.json --plot no-such-folder/plot.svg",
        "replay payments",
        "replay payments --into redis://127.0.0.1:6379/7",
        "replay metrics --into postgres://localhost/analysis",
        "replay audit --file no-such-folder/audit.jsonl",
        "replay circuits --from 2h --file circuits.jsonl",
        "replay audit --partitions 0 --file audit.jsonl",
    ],
)
def test_what_it_does_not_understand_is_refused_before_anything_is_done(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(line.split())
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err


@pytest.mark.parametrize(
    "line",
    [
        "replay payments --into postgres://somebody@db.example:5432/product?sslmode=require",
        "replay circuits --into postgresql://db.example/product",
        "replay metrics --into redis://cache.example/0",
    ],
)
def test_a_replay_into_what_the_product_works_with_is_refused_unasked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    """Also where it is empty: keys that were reserved before it was lost would be free again."""
    monkeypatch.setenv("DATABASE_URL", "postgres://payments:secret@db.example/product")
    monkeypatch.setenv("REDIS_URL", "redis://cache.example:6379")
    assert main(line.split()) == REFUSED
    assert "needs one of its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    [
        "history",
        "state",
        "explain",
        "tail",
        "lag",
        "metrics",
        "export",
        "replay",
        "verify",
        "dead-letters",
        "rebuild",
    ],
)
def test_every_command_teaches_by_examples_that_it_understands(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([name, "--help"])
    _, _, taught = capsys.readouterr().out.partition("for example:\n")
    examples = [
        line.split()[3:] for line in taught.splitlines() if line.startswith("  python -m streams.cli ")
    ]
    assert examples
    for example in examples:
        assert parser().parse_args(example).run is not None


def test_who_has_seen_enough_is_no_server_that_is_away() -> None:
    command = [
        sys.executable,
        "-m",
        "streams.cli",
        "experiment",
        "calc",
        "wilson",
        "--successes",
        "1",
        "--trials",
        "2",
    ]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaints = process.stderr.read()
        assert (process.wait(60), complaints) == (141, b"")


LINE = re.compile(
    r"^(?:python -m streams\.cli|payments-gateway|\./dev cli) (?P<words>[^#`\n]+)", re.MULTILINE
)
TYPED = sorted(
    {line["words"].strip() for page in ROOT.glob("docs/*.md") for line in LINE.finditer(page.read_text())}
)


@pytest.mark.parametrize("words", [words for words in TYPED if "…" not in words])
def test_what_a_page_says_is_typed_is_understood(words: str) -> None:
    parser().parse_args(shlex.split(words))
