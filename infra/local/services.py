"""Which of our programs `./dev run` starts, and where each listens. A new worker is one more line."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from infra.local.ports import HOST, PortError, port_base, require_free
from infra.local.processes import Service


class Program(NamedTuple):
    name: str
    module: tuple[str, ...]
    variable: str
    """Holds HOST:PORT in its environment, and moves it."""
    usual: str
    ready: str


def programs() -> list[Program]:
    """In the order they start."""
    base = port_base()
    return [
        Program(
            name="simulator",
            module=("infra.gateways.simulator",),
            variable="SIMULATOR_BIND",
            usual=f"{HOST}:{base + 8080}",
            ready="/control/health",
        ),
        Program(
            name="api",
            module=("api",),
            variable="BIND_ADDR",
            usual=f"{HOST}:3000",
            ready="/ops/readiness",
        ),
        _worker("projection_worker", base + 3001),
        _worker("payment_verifier", base + 3002),
        _worker("metrics_worker", base + 3003),
        _worker("circuit_writer", base + 3004),
        _worker("experiment_analyzer", base + 3005),
        _worker("webhook_dispatcher", base + 3006),
    ]


def _worker(name: str, port: int) -> Program:
    return Program(
        name=name,
        module=("streams", name),
        variable=f"{name.upper()}_WEB",
        usual=f"{HOST}:{port}",
        ready="/ops/liveness",
    )


def services(folder: Path, stack_env: Mapping[str, str]) -> dict[str, Service]:
    """By name. Each is told where all the others listen."""
    binds = {program.variable: os.environ.get(program.variable) or program.usual for program in programs()}
    urls = {
        program.name: "http://{}:{}".format(*host_and_port(binds[program.variable], program.variable))
        for program in programs()
    }
    env = {
        # A receiver that is being written listens on this machine.
        "WEBHOOK_ALLOWED_TARGETS": os.environ.get("WEBHOOK_ALLOWED_TARGETS", "127.0.0.0/8"),
        **stack_env,
        **binds,
        # Whoever is on this machine may play the proxy of many clients, as the load generator does.
        "TRUSTED_PROXIES": os.environ.get("TRUSTED_PROXIES", HOST),
        "SIMULATOR_URL": urls["simulator"],
        "SIMULATOR_WEBHOOKS_URL": f"{urls['api']}/gateway-notifications",
    }
    return {
        program.name: Service(
            program.name,
            program.module,
            folder,
            env=env,
            url=urls[program.name],
            ready=program.ready,
        )
        for program in programs()
    }


def require_free_ports() -> None:
    """Or we would greet whatever else answers there as our own."""
    for program in programs():
        bind = os.environ.get(program.variable) or program.usual
        host, port = host_and_port(bind, program.variable)
        require_free(port, program.name, program.variable, host)


def host_and_port(bind: str, variable: str) -> tuple[str, int]:
    """Where to reach it: who listens everywhere listens on this machine too."""
    host, _, port = bind.rpartition(":")
    if not port.isdigit():
        raise PortError(f"{variable} must be HOST:PORT, not {bind!r}")
    return HOST if host in {"", "0.0.0.0"} else host, int(port)
