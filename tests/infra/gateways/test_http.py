"""Whatever goes wrong with a call, it is known whether anything can have been sent: `NotSent` or `InDoubt`."""

import asyncio
import re
import shutil
import socket
import ssl
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from infra.gateways.http import Answer, GatewayHttp
from schemas.outcome import InDoubt, NotSent
from tests.infra.gateways.serving import listening_socket

pytestmark = pytest.mark.time_jumps

PATIENCE_MS = 300
PLENTY_MS = 5_000
TWO_MEBIBYTES = 2 * 1024 * 1024
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: (\d+)\r\n", re.IGNORECASE)

Reply = Callable[[StreamWriter], Awaitable[None]]


class Server:
    """Reads requests one after the other, and does with each connection what it is told to."""

    def __init__(self, reply: Reply) -> None:
        self.reply = reply
        self.connections = 0
        self.requests: list[bytes] = []
        self._writers: list[StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self.connections += 1
        self._writers.append(writer)
        task = asyncio.create_task(self._serve(reader, writer))
        self._tasks.add(task)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = _CONTENT_LENGTH.search(head)
                assert length is not None
                self.requests.append(head + await reader.readexactly(int(length[1])))
                await self.reply(writer)

    async def stop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


def saying(*parts: bytes) -> Reply:
    async def reply(writer: StreamWriter) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()

    return reply


def then_closing(*parts: bytes) -> Reply:
    async def reply(writer: StreamWriter) -> None:
        await saying(*parts)(writer)
        writer.close()

    return reply


async def resetting(writer: StreamWriter) -> None:
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def dripping(writer: StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@asynccontextmanager
async def listening(reply: Reply, tls: ssl.SSLContext | None = None) -> AsyncIterator[tuple[Server, str]]:
    """The server, and its host and port."""
    server, listener = Server(reply), listening_socket()
    port = listener.getsockname()[1]
    listens = await asyncio.start_server(server.accept, sock=listener, ssl=tls)
    try:
        yield server, f"127.0.0.1:{port}"
    finally:
        listens.close()
        await server.stop()


@asynccontextmanager
async def calling(base_url: str, max_concurrent_calls: int = 10) -> AsyncIterator[GatewayHttp]:
    http = GatewayHttp(base_url, max_concurrent_calls)
    try:
        yield http
    finally:
        await http.close()


async def post(
    http: GatewayHttp, *, timeout_ms: int = PLENTY_MS, may_send: Callable[[], bool] = lambda: True
) -> Answer | NotSent | InDoubt:
    return await http.call("POST", "/charges", body=b"{}", timeout_ms=timeout_ms, may_send=may_send)


def nobodys_address() -> str:
    with listening_socket() as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def address_by_name(address: str) -> str:
    """One that has to be resolved first."""
    return f"http://gateway.invalid:{address.rpartition(':')[2]}"


def never() -> bool:
    raise AssertionError("there was no connection to send anything over")


# An answer


async def test_an_answer_is_its_status_and_its_body_whatever_they_are() -> None:
    teapot = b"HTTP/1.1 418 I'm a teapot\r\ncontent-length: 5\r\n\r\n\xff\x00{]\n"
    async with listening(saying(teapot)) as (server, address), calling(f"http://{address}/alpha/") as http:
        assert await post(http) == Answer(status=418, body=b"\xff\x00{]\n")

    (request,) = server.requests
    assert request.startswith(b"POST /alpha/charges HTTP/1.1\r\n")
    assert request.endswith(b"\r\n\r\n{}")


async def test_a_connection_is_kept_for_the_next_call() -> None:
    async with listening(saying(OK)) as (server, address), calling(f"http://{address}") as http:
        for _ in range(3):
            assert await post(http) == Answer(status=200, body=b"{}")

    assert (server.connections, len(server.requests)) == (1, 3)


async def test_no_redirect_is_followed() -> None:
    async with listening(saying(OK)) as (elsewhere, other):
        redirect = f"HTTP/1.1 307 Moved\r\nlocation: http://{other}/\r\ncontent-length: 0\r\n\r\n".encode()
        async with listening(saying(redirect)) as (server, address), calling(f"http://{address}") as http:
            assert await post(http) == Answer(status=307, body=b"")

    assert len(server.requests) == 1
    assert elsewhere.connections == 0


# Nothing was sent


async def test_a_connection_that_is_refused_sends_nothing() -> None:
    async with calling(f"http://{nobodys_address()}") as http:
        assert await post(http, may_send=never) == NotSent(reason="connect")


async def test_a_connection_that_does_not_come_in_time_sends_nothing() -> None:
    with listening_socket() as full, socket.socket() as first, socket.socket() as second:
        full.listen(0)
        for waiting in (first, second):
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        async with calling(f"http://127.0.0.1:{full.getsockname()[1]}") as http:
            outcome = await post(http, timeout_ms=PATIENCE_MS, may_send=never)

    assert outcome == NotSent(reason="connect")


async def test_a_host_that_nobody_knows_is_sent_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolver(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolver)
    async with calling("http://gateway.invalid") as http:
        assert await post(http, may_send=never) == NotSent(reason="dns")


async def test_a_server_that_speaks_no_tls_is_sent_nothing() -> None:
    async def plain(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    listener = listening_socket()
    server = await asyncio.start_server(plain, sock=listener)
    async with calling(f"https://127.0.0.1:{listener.getsockname()[1]}") as http:
        assert await post(http, may_send=never) == NotSent(reason="tls")
    server.close()


async def test_a_certificate_that_nobody_vouches_for_is_sent_nothing(self_signed: ssl.SSLContext) -> None:
    async with listening(saying(OK), self_signed) as (server, address), calling(f"https://{address}") as http:
        assert await post(http, may_send=never) == NotSent(reason="tls")

    assert server.requests == []


@pytest.fixture
async def self_signed(tmp_path: Path) -> ssl.SSLContext:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = await asyncio.create_subprocess_exec(
        *(openssl, "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
        *("-days", "1", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", str(key), "-out", str(certificate)),
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert await made.wait() == 0
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


async def test_a_window_that_has_closed_sends_nothing_over_a_new_connection_or_a_kept_one() -> None:
    async with listening(saying(OK)) as (server, address), calling(f"http://{address}") as http:
        for sent in range(3):
            assert await post(http, may_send=lambda: False) == NotSent(reason="window_closed")
            assert len(server.requests) == sent
            assert await post(http) == Answer(status=200, body=b"{}")

    assert server.connections == 1


async def test_a_window_that_closes_while_the_connection_is_made_sends_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()

    async def slow_resolver(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        await asyncio.sleep(0.1)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", port))]

    monkeypatch.setattr(loop, "getaddrinfo", slow_resolver)
    async with listening(saying(OK)) as (server, address), calling(address_by_name(address)) as http:
        closes_at = loop.time() + 0.05
        assert await post(http, may_send=lambda: loop.time() < closes_at) == NotSent(reason="window_closed")
        assert await post(http) == Answer(status=200, body=b"{}")

    assert len(server.requests) == 1


async def test_a_call_too_many_is_not_sent_and_does_not_wait() -> None:
    async with listening(saying(OK)) as (server, address), calling(f"http://{address}", 2) as http:
        server.reply = saying()
        kept = [asyncio.create_task(post(http, timeout_ms=PATIENCE_MS)) for _ in range(2)]
        await asyncio.sleep(PATIENCE_MS / 3000)

        assert await post(http, may_send=never) == NotSent(reason="too_busy")
        assert not any(call.done() for call in kept)
        await asyncio.gather(*kept)
        assert len(server.requests) == 2
        server.reply = saying(OK)
        assert await post(http) == Answer(status=200, body=b"{}")


# It is in doubt


async def test_an_answer_that_does_not_come_in_time_is_in_doubt() -> None:
    async with listening(saying()) as (server, address), calling(f"http://{address}") as http:
        assert await post(http, timeout_ms=PATIENCE_MS) == InDoubt(reason="read_timeout")

    assert len(server.requests) == 1


async def test_an_answer_that_comes_byte_by_byte_is_in_doubt_when_its_time_is_up() -> None:
    async with listening(dripping) as (_, address), calling(f"http://{address}") as http:
        assert await post(http, timeout_ms=PATIENCE_MS) == InDoubt(reason="read_timeout")


@pytest.mark.parametrize("reply", [resetting, then_closing()])
async def test_a_connection_that_is_lost_before_the_answer_is_in_doubt_and_nothing_is_sent_again(
    reply: Reply,
) -> None:
    async with listening(saying(OK)) as (server, address), calling(f"http://{address}") as http:
        await post(http)
        server.reply = reply
        assert await post(http) == InDoubt(reason="connection_lost")

    assert (server.connections, len(server.requests)) == (1, 2)


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    ],
)
async def test_an_answer_that_breaks_off_is_in_doubt(part: bytes) -> None:
    async with listening(then_closing(part)) as (_, address), calling(f"http://{address}") as http:
        assert await post(http) == InDoubt(reason="unreadable_answer")


@pytest.mark.parametrize(
    "parts",
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % TWO_MEBIBYTES, b" " * TWO_MEBIBYTES),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            b"%x\r\n" % TWO_MEBIBYTES + b" " * TWO_MEBIBYTES + b"\r\n0\r\n\r\n",
        ),
    ],
)
async def test_an_answer_that_is_too_large_is_in_doubt(parts: tuple[bytes, ...]) -> None:
    async with listening(saying(*parts)) as (_, address), calling(f"http://{address}") as http:
        assert await post(http) == InDoubt(reason="unreadable_answer")


async def test_an_answer_that_is_no_http_is_in_doubt() -> None:
    other = saying(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
    async with listening(other) as (_, address), calling(f"http://{address}") as http:
        assert await post(http) == InDoubt(reason="unreadable_answer")
