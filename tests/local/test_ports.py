"""Ports of tests that run side by side do not meet."""

from infra.local.ports import free_ports


def test_a_port_that_was_given_is_not_given_again_though_nobody_listens_on_it_yet() -> None:
    given = [port for _ in range(100) for port in free_ports(5)]
    assert len(set(given)) == len(given)
