"""One attempt to deliver, against receivers that listen on this machine and do what they like."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from infra.clock import SystemClock
from infra.webhooks.sender import READ_MOST, WebhookSender, retry_after_s
from infra.webhooks.targets import Targets
from schemas.delivery import Answered, SendResult, Unreached

pytestmark = pytest.mark.time_jumps

LOCAL = ["127.0.0.0/8"]
BODY = b'{"type":"payment.succeeded"}'
AT = datetime(2026, 11, 23, 9, 30, tzinfo=UTC)
Handle = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Names(AbstractResolver):
    """Answers with the next of its addresses each time it is asked, as one who rebinds a name does."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = list(addresses)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self._addresses.pop(0) if len(self._addresses) > 1 else self._addresses[0]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    async def close(self) -> None:
        pass


class Receiver:
    def __init__(self) -> None:
        self.seen: list[tuple[web.Request, bytes]] = []
        self.handle: Handle = self._take
        self.port = 0

    async def _take(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=204)

    async def on_request(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request, await request.read()))
        return await self.handle(request)

    async def listen(self, tls: ssl.SSLContext | None = None) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self.on_request)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        self.port = runner.addresses[0][1]
        return runner


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    runner = await receiver.listen()
    yield receiver
    await runner.cleanup()


def answers(status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> Handle:
    async def handle(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers=headers, body=body)

    return handle


@asynccontextmanager
async def saying(reply: bytes, pause_s: float = 0) -> AsyncIterator[int]:
    """The port of one who says just this to whoever connects, byte after byte, and hangs up."""
    talks: list[asyncio.Task[None]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.read(100)
            for byte in reply:
                writer.write(bytes([byte]))
                await asyncio.sleep(pause_s)
                await writer.drain()
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.append(asyncio.create_task(talk(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.gather(*talks)


async def sent(
    url: str,
    *,
    allowed: list[str] = LOCAL,
    names: AbstractResolver | None = None,
    tls: ssl.SSLContext | None = None,
    within_s: float = 5.0,
) -> SendResult:
    sender = WebhookSender(
        Targets(allowed), names or Names("127.0.0.1"), SystemClock(), tls=tls, answered_within_s=within_s
    )
    try:
        return await sender.send(url, BODY, {"webhook-id": "dlv_1"})
    finally:
        await sender.close()


async def test_the_body_and_its_headers_arrive_as_they_were_given(receiver: Receiver) -> None:
    result = await sent(f"http://receiver.example:{receiver.port}/hook?a=b")
    assert result == Answered(status=204)
    ((request, body),) = receiver.seen
    assert body == BODY
    assert request.method == "POST"
    assert request.path_qs == "/hook?a=b"
    assert request.headers["webhook-id"] == "dlv_1"
    assert request.headers["Content-Type"] == "application/json"
    assert request.headers["Host"] == f"receiver.example:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(receiver: Receiver, status: int) -> None:
    receiver.handle = answers(status, {"Location": f"http://127.0.0.1:{receiver.port}/elsewhere"})
    assert await sent(f"http://receiver.example:{receiver.port}/hook") == Answered(status=status)
    assert len(receiver.seen) == 1


async def test_what_a_receiver_asks_for_in_retry_after_is_told(receiver: Receiver) -> None:
    receiver.handle = answers(503, {"Retry-After": "17"})
    result = await sent(f"http://receiver.example:{receiver.port}/")
    assert result == Answered(status=503, retry_after_s=17)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("0", 0),
        ("120", 120),
        ("9" * 400, 999_999_999),
        ("Mon, 23 Nov 2026 09:31:00 GMT", 60),
        ("Mon, 23 Nov 2026 09:29:00 GMT", 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str | None, seconds: int | None) -> None:
    assert retry_after_s(header, AT) == seconds


async def test_a_receiver_that_hangs_costs_its_timeout_and_no_more(receiver: Receiver) -> None:
    released = asyncio.Event()

    async def hang(_: web.Request) -> web.StreamResponse:
        await released.wait()
        return web.Response()

    receiver.handle = hang
    assert await sent(f"http://receiver.example:{receiver.port}/", within_s=0.2) == Unreached(
        reason="timeout"
    )
    released.set()


async def test_a_receiver_that_drips_its_answer_costs_no_more_either() -> None:
    async with saying(b"HTTP/1.1 200 OK\r\nX-Slow: " + b"." * 50, pause_s=0.02) as port:
        assert await sent(f"http://receiver.example:{port}/", within_s=0.3) == Unreached(reason="timeout")


async def test_of_an_endless_answer_only_a_little_is_read(receiver: Receiver) -> None:
    written = 0

    async def pour(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        with suppress(ConnectionError):
            while True:
                await response.write(b"." * 65_536)
                written += 65_536
        return response

    receiver.handle = pour
    assert await sent(f"http://receiver.example:{receiver.port}/") == Answered(status=200)
    assert written < 100 * 65_536
    assert READ_MOST < 65_536


@pytest.mark.parametrize("reply", [b"not http\r\n\r\n", b"HTTP/1.1 2000 OK\r\n\r\n", b""])
async def test_what_is_no_answer_is_a_failure(reply: bytes) -> None:
    async with saying(reply) as port:
        assert isinstance(await sent(f"http://receiver.example:{port}/"), Unreached)


async def test_nobody_listening_is_a_failure_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert await sent(f"http://receiver.example:{port}/") == Unreached(reason="connect")


async def test_a_name_that_does_not_resolve_is_told_as_such() -> None:
    class Nobody(Names):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise OSError("no such host")

    assert await sent("http://receiver.example/", names=Nobody("")) == Unreached(reason="dns")


# Whoever names a target that is not for us to call


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "127.1", "receiver.example"])
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_nothing_reaches_this_machine_that_is_not_allowed_to(
    receiver: Receiver, scheme: str, host: str
) -> None:
    result = await sent(f"{scheme}://{host}:{receiver.port}/", allowed=[])
    assert result in (Unreached(reason="refused_target"), Unreached(reason="connect"))
    assert receiver.seen == []


async def test_a_name_that_is_public_when_checked_and_ours_when_called_is_refused(
    receiver: Receiver,
) -> None:
    names = Names("8.8.8.8", "127.0.0.1")
    url = f"https://receiver.example:{receiver.port}/"
    await Targets().check(url, names)
    assert await sent(url, allowed=[], names=names) == Unreached(reason="refused_target")
    assert receiver.seen == []
    assert len(names.asked) == 2


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Of `receiver.example`, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=receiver.example", "-addext", "subjectAltName=DNS:receiver.example"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


async def test_over_tls_the_name_is_sent_and_checked_though_the_address_is_ours(
    certificate: tuple[Path, Path],
) -> None:
    names_sent: list[str | None] = []
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(*certificate)
    serving.sni_callback = lambda _socket, name, _context: names_sent.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    receiver = Receiver()
    runner = await receiver.listen(serving)
    result = await sent(f"https://receiver.example:{receiver.port}/", tls=trusting)
    assert result == Answered(status=204)
    assert names_sent == ["receiver.example"]
    assert receiver.seen[0][0].headers["Host"] == f"receiver.example:{receiver.port}"
    assert await sent(f"https://other.example:{receiver.port}/", tls=trusting) == Unreached(reason="tls")
    assert await sent(f"https://receiver.example:{receiver.port}/") == Unreached(reason="tls")
    assert len(receiver.seen) == 1
    await runner.cleanup()
