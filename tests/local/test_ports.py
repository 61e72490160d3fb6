"""Ports of tests that run side by side do not meet."""

import subprocess
import sys

from infra.local.__main__ import of_the_run
from infra.local.ports import Ports, free_ports


def test_a_port_that_was_given_is_not_given_again_though_nobody_listens_on_it_yet() -> None:
    given = [port for _ in range(100) for port in free_ports(5)]
    assert len(set(given)) == len(given)


def test_processes_that_keep_to_their_shares_never_give_the_same() -> None:
    given = "from infra.local.ports import *; keep_to_share({}, 3); print(*free_ports(300))"
    ran = (subprocess.check_output([sys.executable, "-c", given.format(number)]) for number in range(3))
    assert [{int(port) % 3 for port in ports.split()} for ports in ran] == [{2}, {0}, {1}]


def test_the_command_line_beside_a_run_finds_its_servers_and_leaves_those_that_are_given() -> None:
    given = {"REDIS_URL": "redis://elsewhere:6379/", "HOME": "home"}
    environment = of_the_run(given)
    assert {**environment, **given} == environment
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == f"127.0.0.1:{Ports.usual().kafka}"
