"""Ports of tests that run side by side do not meet."""

from infra.local.__main__ import of_the_run
from infra.local.ports import Ports, free_ports


def test_a_port_that_was_given_is_not_given_again_though_nobody_listens_on_it_yet() -> None:
    given = [port for _ in range(100) for port in free_ports(5)]
    assert len(set(given)) == len(given)


def test_the_command_line_beside_a_run_finds_its_servers_and_leaves_those_that_are_given() -> None:
    given = {"REDIS_URL": "redis://elsewhere:6379/", "HOME": "home"}
    environment = of_the_run(given)
    assert {**environment, **given} == environment
    assert environment["KAFKA_BOOTSTRAP_SERVERS"] == f"127.0.0.1:{Ports.usual().kafka}"
