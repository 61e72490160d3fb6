"""Which ports the local stack listens on, all on 127.0.0.1.

All lie below 32768: above it the kernel hands ports to outgoing connections, and one of those may hold ours.
"""

import os
import random
import socket
from dataclasses import dataclass

from infra.local import LocalError

HOST = "127.0.0.1"
BASE_VARIABLE = "PAYMENTS_LOCAL_PORT_BASE"
TEST_PORTS_BEGIN = 20000
EPHEMERAL_PORTS_BEGIN = 32768


class PortError(LocalError):
    """The message says which port, and what to set to move it."""


@dataclass(frozen=True)
class Ports:
    postgres: int
    redis: int
    kafka: int
    kafka_controller: int

    @classmethod
    def usual(cls) -> "Ports":
        base = port_base()
        return cls(postgres=base + 5432, redis=base + 6379, kafka=base + 9092, kafka_controller=base + 9093)

    @classmethod
    def free(cls) -> "Ports":
        return cls(*free_ports(4))


def port_base() -> int:
    """Added to each server's well-known port: 10000 gives 15432, 16379 and 19092."""
    text = os.environ.get(BASE_VARIABLE, "10000")
    if not text.isdigit() or not 0 <= int(text) <= EPHEMERAL_PORTS_BEGIN - 10000:
        raise PortError(
            f"{BASE_VARIABLE} must be a number from 0 to {EPHEMERAL_PORTS_BEGIN - 10000}, not {text!r}"
        )
    return int(text)


def is_free(port: int, host: str = HOST) -> bool:
    with socket.socket() as probe:
        # As servers do: the remains of a closed connection do not hold a port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


_GIVEN: set[int] = set()
"""By this process: whoever has asked for one may not listen on it yet."""
_ours = range(TEST_PORTS_BEGIN, EPHEMERAL_PORTS_BEGIN)
"""Those that this process may give."""


def keep_to_share(number: int, shares: int) -> None:
    """From now on this process gives only these, counted from 0: of several that give at once none takes another's."""
    global _ours
    _ours = range(TEST_PORTS_BEGIN + number, EPHEMERAL_PORTS_BEGIN, shares)


def free_ports(count: int) -> list[int]:
    """Free a moment ago, and never given by this process before; at random, so that two test runs seldom meet."""
    candidates = random.sample(_ours, min(1000, len(_ours)))
    found = [port for port in candidates if port not in _GIVEN and is_free(port)][:count]
    if len(found) < count:
        raise PortError(f"fewer than {count} free ports from {TEST_PORTS_BEGIN} to {EPHEMERAL_PORTS_BEGIN}")
    _GIVEN.update(found)
    return found


def require_free(port: int, owner: str, variable: str, host: str = HOST) -> None:
    if not is_free(port, host):
        raise PortError(f"port {port}, for {owner}, is taken by another program; set {variable} to move it")
