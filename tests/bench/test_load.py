import asyncio
import json
import sys
from argparse import ArgumentParser
from array import array
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
import pytest
import pytest_asyncio

from infra.gateways.simulator.app import Simulator
from infra.gateways.simulator.profile import Fault, FaultKind, Latency, Profile
from schemas.http import PaymentBody, faults_in
from tests.bench import load
from tests.bench.generator import Answer, Plan, drive
from tests.bench.payments import payment_requests
from tests.bench.report import Report, latency_of
from tests.infra.gateways.serving import listening_socket, serving


class Target:
    """A simulated gateway to shoot at, and how it behaves."""

    def __init__(self, simulator: Simulator, url: str) -> None:
        self.simulator = simulator
        self.url = url
        self.behave()

    def behave(self, fixed_ms: float = 0, fault: FaultKind | None = None) -> None:
        faults = () if fault is None else (Fault(kind=fault),)
        self.simulator.profiles["alpha"] = Profile(
            gateway="alpha", success_rate=1, latency=Latency(fixed_ms=fixed_ms), faults=faults
        )

    async def fire(
        self,
        connections: int = 4,
        duration_s: float = 0.5,
        rate_per_s: float | None = None,
        warmup_s: float = 0.0,
        timeout_s: float = 5.0,
        receive: Callable[[Answer], None] | None = None,
    ) -> Report:
        parts = urlsplit(self.url)
        return await drive(
            Plan(
                host=str(parts.hostname),
                port=int(parts.port or 0),
                request=charge_request,
                connections=connections,
                duration_s=duration_s,
                rate_per_s=rate_per_s,
                warmup_s=warmup_s,
                timeout_s=timeout_s,
                receive=receive,
                wanted_headers=frozenset({b"content-type"}),
            )
        )


def charge_request(sequence: int) -> bytes:
    charge = {"amount_minor": 1000, "currency": "INR", "method": "UPI", "instrument": {}}
    body = json.dumps({"reference": f"r{sequence}"} | charge)
    return (
        f"POST /alpha/charges HTTP/1.1\r\nHost: alpha\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
    )


@pytest_asyncio.fixture
async def target() -> AsyncIterator[Target]:
    simulator = Simulator([])
    async with serving(simulator) as url:
        yield Target(simulator, url)


async def test_a_closed_loop_asks_again_as_soon_as_it_is_answered(target: Target) -> None:
    target.behave(fixed_ms=20)
    report = await target.fire(connections=8, duration_s=2)
    assert report.latency_ms is not None
    assert report.latency_ms.p50 >= 20
    assert 8 < report.count <= 8 * (2_000 / 20 + 1)
    assert (report.statuses, report.errors, report.reconnects) == ({200: report.count}, {}, 0)


async def test_every_request_reaches_the_server_once_and_every_answer_the_receiver(target: Target) -> None:
    answers: list[Answer] = []
    report = await target.fire(rate_per_s=400, receive=answers.append)
    assert report.due == report.count == 200
    assert sorted(answer.sequence for answer in answers) == list(range(200))
    assert len(list(target.simulator.ledger.after(0))) == 200
    for answer in answers:
        assert json.loads(answer.body)["reference"] == f"r{answer.sequence}"
        assert answer.headers == {b"content-type": b"application/json"}


async def test_what_was_due_in_the_warm_up_is_not_counted(target: Target) -> None:
    report = await target.fire(rate_per_s=200, warmup_s=0.25, duration_s=0.25)
    assert report.due == report.count == pytest.approx(50, abs=1)
    assert len(list(target.simulator.ledger.after(0))) == 100


async def test_at_a_fixed_rate_waiting_for_a_busy_server_is_latency(target: Target) -> None:
    target.behave(fixed_ms=50)
    report = await target.fire(connections=1, rate_per_s=40, duration_s=0.5)
    assert report.latency_ms is not None
    assert report.count == 20
    assert report.latency_ms.max > 400, "20 requests of 50 ms took turns, and the last was due at 475 ms"


async def test_a_request_that_is_not_answered_in_time_is_an_error_and_a_sample(target: Target) -> None:
    target.behave(fault="timeout_before_effect")
    report = await target.fire(connections=2, rate_per_s=20, duration_s=0.3, timeout_s=0.2)
    assert (report.due, report.count) == (6, 0)
    assert sum(report.errors.values()) == 6
    assert set(report.errors) <= {"Timeout", "TimeoutBeforeSending", "Unfinished"}
    assert report.reconnects >= min(1, report.errors.get("Timeout", 0))
    assert report.latency_ms is not None
    assert report.latency_ms.p50 >= 200


async def test_a_refusal_is_counted_by_its_status(target: Target) -> None:
    target.behave(fault="unavailable_503_before_effect")
    report = await target.fire(rate_per_s=100, duration_s=0.2)
    assert (report.statuses, report.succeeded) == ({503: 20}, 0)


@pytest.mark.parametrize(
    ("fault", "error"), [("effect_then_reset", "ConnectionResetError"), ("truncated_body", "ClosedByServer")]
)
async def test_a_lost_connection_is_counted_by_name_and_replaced(
    target: Target, fault: FaultKind, error: str
) -> None:
    target.behave(fault=fault)
    report = await target.fire(rate_per_s=100, duration_s=0.2)
    assert (report.count, report.errors) == (0, {error: 20})
    assert report.reconnects == 20


async def test_a_server_that_is_not_there_is_said_so_at_once() -> None:
    with listening_socket() as bound_but_deaf, pytest.raises(ConnectionRefusedError):
        await Target(Simulator([]), f"http://127.0.0.1:{bound_but_deaf.getsockname()[1]}").fire()


def test_quantiles_are_samples_that_occurred() -> None:
    latency = latency_of(array("d", [number / 1000 for number in range(100, 0, -1)]))
    assert latency is not None
    assert (latency.p50, latency.p90, latency.p95, latency.p99, latency.max) == (50, 90, 95, 99, 100)
    assert latency_of(array("d")) is None


def test_payments_are_valid_varied_and_their_own() -> None:
    request = payment_requests("http://127.0.0.1:3000")
    keys, customers, methods = set(), set(), set()
    for sequence in range(200):
        head, _, body = request(sequence).partition(b"\r\n\r\n")
        headers = dict(line.split(": ") for line in head.decode().split("\r\n")[1:])
        payment = msgspec.json.decode(body, type=PaymentBody)
        assert faults_in(payment) == []
        assert int(headers["Content-Length"]) == len(body)
        keys.add(headers["Idempotency-Key"])
        customers.add(payment.customer_id)
        methods.add(payment.payment_method)
    assert (len(keys), len(customers), len(methods)) == (200, 200, 4)


async def test_the_command_writes_what_it_measured_and_on_what_machine(
    target: Target, tmp_path: Path
) -> None:
    file = tmp_path / "load.json"
    options = [
        "--url",
        target.url,
        "--rate",
        "50",
        "--duration",
        "0.4",
        "--warmup",
        "0",
        "--connections",
        "2",
    ]
    command = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.bench", "load", *options, "--json", file, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await command.communicate()
    written = json.loads(file.read_bytes())
    assert command.returncode == 1, "the simulator knows no /payments, so nothing succeeded"
    assert written["report"]["statuses"] == {"404": 20}
    assert written["machine"]["cores"] >= 1
    assert b"status 404" in out


def test_without_a_rate_the_command_runs_a_closed_loop() -> None:
    parser = ArgumentParser()
    load.add_arguments(parser)
    assert parser.parse_args([]).rate is None
