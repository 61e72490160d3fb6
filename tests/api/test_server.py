"""The service on real sockets: what a client may do to it, and how it goes away."""

import asyncio
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from api.body import BodyLimits
from tests.api.client import Answer
from tests.api.requests import assert_problem, body
from tests.api.served import served
from tests.api.stand_ins import World
from tests.waiting import HANGS_AFTER_S, until

HEAD = (
    b"POST /payments HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nIdempotency-Key: abc\r\n"
    b"X-Request-Id: abc\r\n"
)
SIZED = HEAD + b"Content-Length: %d\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
READINESS = b"GET /ops/readiness HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def post(content: bytes) -> bytes:
    return SIZED % len(content) + content


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(content), content)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        async with asyncio.timeout(HANGS_AFTER_S):
            yield reader, writer
    finally:
        writer.close()


async def answer_of(reader: asyncio.StreamReader) -> Answer:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    return Answer(
        int(head[0].split()[1]), headers, await reader.readexactly(int(headers.get("content-length", "0")))
    )


async def ask(port: int, request: bytes) -> Answer:
    async with connected(port) as (reader, writer):
        writer.write(request)
        return await answer_of(reader)


async def test_a_payment_over_a_real_connection_and_another_on_the_same(world: World) -> None:
    async with served(world) as port, connected(port) as (reader, writer):
        for _ in range(2):
            writer.write(post(body()))
            answer = await answer_of(reader)
            assert (answer.status, answer.json["status"]) == (201, "SUCCESS")
            assert "server" not in answer.headers


async def test_a_client_that_goes_away_changes_nothing_about_its_payment(world: World) -> None:
    world.handler.may_end.clear()
    async with served(world) as port:
        async with connected(port) as (_, writer):
            writer.write(post(body()))
            await world.handler.called.wait()
        world.handler.may_end.set()

        async def has_ended() -> bool:
            return world.handler.ended == 1

        await until(has_ended)


async def test_a_body_that_stops_coming_is_408_and_its_connection_ends(world: World) -> None:
    world.limits = BodyLimits(timeout_s=0.2)
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(SIZED % 500 + b'{"amount_minor":')
        answer = await answer_of(reader)
        assert_problem(answer, 408, "body-too-slow")
        assert await reader.read() == b""
    assert not world.handler.calls


async def test_a_notification_that_stops_coming_is_408_and_its_connection_ends(world: World) -> None:
    world.limits = BodyLimits(timeout_s=0.2)
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(
            b"POST /gateway-notifications/razorpay HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{"
        )
        assert_problem(await answer_of(reader), 408, "body-too-slow")
        assert await reader.read() == b""
    assert not world.messages.published


async def test_who_has_no_admin_key_is_refused_before_the_body_comes(world: World) -> None:
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(b"POST /reviews/x/settle HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n")
        assert_problem(await answer_of(reader), 401, "unauthorized")


async def test_a_body_that_trickles_has_no_more_time_than_one_that_stops(world: World) -> None:
    world.limits = BodyLimits(timeout_s=0.3)
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(CHUNKED)
        answering = asyncio.create_task(answer_of(reader))
        while not answering.done():
            writer.write(chunk(b" "))
            await asyncio.sleep(0.02)
        assert_problem(answering.result(), 408, "body-too-slow")


@pytest.mark.parametrize("size", [65_537, 300_000, 50_000_000])
async def test_a_body_that_declares_too_much_is_413(world: World, size: int) -> None:
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(SIZED % size)
        if size < 1_000_000:
            writer.write(b" " * size)
        answer = await answer_of(reader)
        assert_problem(answer, 413, "body-too-large")
        assert await reader.read() == b""


async def test_a_chunked_body_that_is_too_large_is_413_and_the_client_can_read_it(world: World) -> None:
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(CHUNKED)
        for _ in range(40):
            writer.write(chunk(b" " * 8000))
            await writer.drain()
        writer.write(b"0\r\n\r\n")
        assert_problem(await answer_of(reader), 413, "body-too-large")


async def test_a_body_without_end_is_cut_off(world: World) -> None:
    world.limits = BodyLimits(linger_s=0.1)
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(CHUNKED)
        sent = 0
        try:
            while not reader.at_eof():
                writer.write(chunk(b" " * 8000))
                await writer.drain()
                sent += 8000
        except ConnectionError:
            pass
    assert sent < 50_000_000


async def test_a_client_that_waits_for_100_continue_is_refused_before_it_sends(world: World) -> None:
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(HEAD + b"Expect: 100-continue\r\nContent-Length: 70000\r\n\r\n")
        assert_problem(await answer_of(reader), 413, "body-too-large")


@pytest.mark.parametrize(
    "request_bytes", [b"nonsense\r\n\r\n", b"POST /payments HTTP/1.1\r\nContent-Length: x\r\n\r\n"]
)
async def test_what_is_no_http_is_a_problem_too(world: World, request_bytes: bytes) -> None:
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(request_bytes)
        answer = await answer_of(reader)
        assert (answer.status, answer.json["type"]) == (400, "/problems/malformed-request")
        assert answer.headers["content-type"] == "application/problem+json"
        assert await reader.read() == b""


async def test_headers_without_end_are_431(world: World) -> None:
    async with served(world) as port, connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n")
        for number in range(10):
            writer.write(b"X-N%d: " % number + b"x" * 8000 + b"\r\n")
            await writer.drain()
        answer = await answer_of(reader)
        assert (answer.status, answer.json["type"]) == (431, "/problems/headers-too-large")


@asynccontextmanager
async def held(
    drain_s: float, payments: int = 1
) -> AsyncIterator[tuple[Process, int, list[asyncio.Task[Answer]]]]:
    """A process, its port, and so many clients who wait: their payments have come, and end when they are let go."""
    command = (sys.executable, "-m", "tests.api.served", str(drain_s), "held")
    running = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert running.stdout is not None
    try:
        async with asyncio.timeout(HANGS_AFTER_S):
            port = int(await running.stdout.readline())
            asked = [asyncio.create_task(ask(port, post(body()))) for _ in range(payments)]
            await have_come(running, payments)
            yield running, port, asked
    finally:
        if running.returncode is None:
            running.kill()
        await running.communicate()


async def have_come(running: Process, payments: int) -> None:
    assert running.stdout is not None
    for _ in range(payments):
        assert (await running.stdout.readline()).startswith(b"payment")


async def drains(port: int) -> None:
    async def is_so() -> bool:
        readiness = await ask(port, READINESS)
        return (readiness.status, readiness.json["draining"]) == (503, True)

    await until(is_so)


async def test_sigterm_finishes_every_payment_also_one_whose_client_has_gone() -> None:
    async with held(drain_s=HANGS_AFTER_S, payments=5) as (running, port, asked):
        async with connected(port) as (_, writer):
            writer.write(post(body()))
            await have_come(running, 1)
        running.send_signal(signal.SIGTERM)
        await drains(port)
        assert_problem(await ask(port, post(body())), 503, "not-admitting")
        assert running.stdin is not None
        running.stdin.write(b"\n")
        assert {(await answer).status for answer in asked} == {201}
        assert running.stdout is not None
        assert await running.stdout.read() == b"asked 6 ended 6\n"
        assert await running.wait() == 0


async def test_draining_is_bounded_and_who_still_waits_is_told() -> None:
    async with held(drain_s=0.3) as (running, _, (asked,)):
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == 0
        assert_problem(await asked, 503, "not-admitting")


async def test_a_second_signal_does_not_wait_for_the_payments() -> None:
    async with held(drain_s=2 * HANGS_AFTER_S) as (running, port, (asked,)):
        running.send_signal(signal.SIGTERM)
        await drains(port)
        running.send_signal(signal.SIGTERM)
        assert await running.wait() == -signal.SIGTERM
        assert_problem(await asked, 503, "not-admitting")
