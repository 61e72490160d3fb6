"""The corpus of `hostile_requests.py`, over raw sockets, against the server in a process of its own."""

import asyncio
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from api.errors import KINDS
from tests.api.hostile_requests import LAST, SLOW, Case, SlowCase, get, quick

QUICK = list(quick())
PATIENCE_S = 30
"""Nothing may hold a connection for so long."""
GROWTH_BYTES = 8_000_000
_TYPES = {f"/problems/{kind}": status for kind, (status, _) in KINDS.items()}
_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]*\r\n((?:[^\r\n:]+: ?[^\r\n]*\r\n)*)\r\n")


class Server(NamedTuple):
    process: "subprocess.Popen[bytes]"
    port: int

    @property
    def resident_bytes(self) -> int:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * 4096


@contextmanager
def started(*wrapper: str) -> Iterator[Server]:
    command = (*wrapper, sys.executable, "-m", "tests.api.served", "5")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        try:
            yield Server(process, int(process.stdout.readline()))
        finally:
            process.kill()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with started() as server:
        yield server


async def answers_to(server: Server, sent: bytes, then: bytes = b"") -> bytes:
    """Whatever comes until the server ends the connection."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writing = asyncio.create_task(_write(writer, sent, then))
        try:
            return await _read(reader)
        finally:
            writing.cancel()
            writer.transport.abort()


async def _read(reader: asyncio.StreamReader) -> bytes:
    """Also of a connection that is reset because we have sent more than was wanted: what came before that counts."""
    got = b""
    try:
        while part := await reader.read(65_536):
            got += part
    except ConnectionError:
        pass
    return got


async def _write(writer: asyncio.StreamWriter, sent: bytes, then: bytes) -> None:
    try:
        writer.write(sent)
        await writer.drain()
        while then:
            await asyncio.sleep(0.2)
            writer.write(then)
            await writer.drain()
    except ConnectionError:
        pass


def statuses(got: bytes, *, of_head: bool = False) -> list[int]:
    """Every byte belongs to an answer, and every failure is one of those that are documented."""
    found: list[int] = []
    while got:
        head = _HEAD.match(got)
        assert head is not None, got[:200]
        status = int(head[1])
        headers = dict(line.lower().split(b":", 1) for line in head[2].split(b"\r\n") if line)
        length = 0 if status == 100 or (of_head and not found) else int(headers[b"content-length"])
        body, got = got[head.end() :][:length], got[head.end() + length :]
        if status >= 400 and length:
            assert headers[b"content-type"].strip() == b"application/problem+json"
            problem = msgspec.json.decode(body)
            assert _TYPES[problem["type"]] == problem["status"] == status
        if status != 100:
            assert headers[b"x-content-type-options"].strip() == b"nosniff"
        found.append(status)
    return found


def test_the_corpus_is_large_and_names_each_case_once() -> None:
    names = [case.name for case in QUICK] + [case.name for case in SLOW]
    assert len(names) == len(set(names)) > 300


async def test_a_large_head_is_read_in_however_many_pieces_it_comes(server: Server) -> None:
    case = next(case for case in QUICK if case.name == "header: ten thousand addresses")
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    for piece in (case.sent[:10_000], case.sent[10_000:30_000], case.sent[30_000:] + LAST):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.05)
    async with asyncio.timeout(PATIENCE_S):
        assert tuple(statuses(await _read(reader))) == case.answers
    writer.close()


@pytest.mark.parametrize("case", QUICK, ids=[case.name for case in QUICK])
async def test_what_nobody_should_send_is_answered_or_cut(server: Server, case: Case) -> None:
    got = await answers_to(server, case.sent + LAST)
    assert tuple(statuses(got, of_head=case.sent.startswith(b"HEAD"))) == case.answers
    assert b"/smuggled" not in got


async def test_nobody_holds_a_connection_by_being_slow(server: Server) -> None:
    async def judged(case: SlowCase) -> tuple[str, tuple[int, ...]]:
        try:
            return case.name, tuple(statuses(await answers_to(server, case.sent, case.then)))
        except TimeoutError:
            return case.name, (-1,)

    found = dict(await asyncio.gather(*(judged(case) for case in SLOW)))
    assert found == {case.name: case.answers for case in SLOW}


async def test_a_client_that_takes_no_answers_is_let_go(server: Server) -> None:
    """Its requests are not read any more either, so it holds no memory."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
    before = server.resident_bytes
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(_ask_without_end(writer), 2 * PATIENCE_S)
    assert server.resident_bytes - before < 4 * GROWTH_BYTES
    writer.transport.abort()
    assert await answers_to(server, LAST)


async def _ask_without_end(writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(get(path=b"/metrics") * 100)
        await writer.drain()


async def test_connections_leave_descriptors_for_what_the_service_needs_itself() -> None:
    with started("sh", "-c", 'ulimit -n 128 && exec "$0" "$@"') as server:
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(300)]
        ended = await asyncio.gather(*(_has_ended(reader) for reader, _ in held))
        assert ended.count(False) == 96
        reader, writer = held[ended.index(False)]
        writer.write(LAST)
        assert statuses(await _read(reader)) == [200]
        for _, writer in held:
            writer.transport.abort()
        assert statuses(await answers_to(server, LAST)) == [200]


async def _has_ended(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(1), 5) == b""
    except ConnectionError:
        return True
    except TimeoutError:
        return False


async def test_memory_stays_as_it_is_whatever_is_sent(server: Server) -> None:
    async def all_of_it() -> None:
        for start in range(0, len(QUICK), 40):
            await asyncio.gather(
                *(answers_to(server, case.sent + LAST) for case in QUICK[start : start + 40])
            )

    await all_of_it()
    before = server.resident_bytes
    for _ in range(5):
        await all_of_it()
    assert server.resident_bytes - before < GROWTH_BYTES
    assert server.process.poll() is None
