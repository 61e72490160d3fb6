"""Hours as files: what their rates mean, and what is said of one that cannot be read."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.bench.other_hours import OTHERS, random_incidents
from tests.bench.scenarios import STANDARD, Points, Scenario, SimulatedGateway, read, uniforms


def rates_of(*points: tuple[float, float]) -> list[float]:
    """At 0, 1, … 9 s."""
    gateway = SimulatedGateway(name="a", success_rate=points)
    scenario = Scenario(gateways=(gateway,), transactions_per_second=1, duration_s=10)
    return [round(rate, 6) for rate in scenario.rates()[0].tolist()]


def test_a_rate_is_linear_between_its_points_and_steady_outside_them() -> None:
    assert rates_of((2, 0.5), (6, 0.9)) == [0.5, 0.5, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9]


def test_at_a_jump_the_second_of_the_two_points_is_in_force() -> None:
    assert rates_of((0, 0.9), (3, 0.9), (3, 0.1), (5, 0.1), (5, 0.9)) == [0.9] * 3 + [0.1] * 2 + [0.9] * 5


def test_of_three_points_at_one_time_the_last_is_in_force() -> None:
    assert rates_of((0, 0.9), (4, 0.9), (4, 0.5), (4, 0.1)) == [0.9] * 4 + [0.1] * 6


def test_every_run_has_luck_of_its_own_and_always_the_same() -> None:
    scenario = STANDARD[0]
    assert (uniforms(scenario, 3) == uniforms(scenario, 3)).all()
    assert (uniforms(scenario, 3) != uniforms(scenario, 4)).any()
    assert (uniforms(scenario, 3) == np.random.default_rng([1, 3]).random((2, 36_000))).all()


def test_incidents_are_the_same_for_the_same_seed() -> None:
    def incidents(seed: int) -> tuple[Points, ...]:
        return random_incidents(seed, (0.9, 0.8))

    assert incidents(1) == incidents(1) != incidents(2)


@pytest.mark.parametrize("scenario", [*STANDARD, *OTHERS], ids=lambda scenario: str(scenario.name))
def test_every_hour_of_ours_is_one_that_a_file_could_hold(tmp_path: Path, scenario: Scenario) -> None:
    file = tmp_path / "hour.json"
    file.write_bytes(msgspec.json.encode(scenario))
    assert read(file) == scenario


def test_a_file_needs_no_name_and_few_fields(tmp_path: Path) -> None:
    file = tmp_path / "monday.json"
    file.write_text('{"gateways": [{"name": "A", "success_rate": [[0, 1]]}], "runs": 3}')
    assert (read(file).name, read(file).runs, read(file).transactions) == ("monday", 3, 36_000)


GATEWAY = '{"name": "a", "success_rate": [[0, 0.9], [9, 0.9]]}'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "Input data was truncated"),
        ("{}", "Object missing required field `gateways`"),
        ('{"gateways": []}', "Expected `array` of length >= 1 - at `$.gateways`"),
        (
            '{"gateways": [{"name": "a", "success_rate": [[0, 90]]}]}',
            "Expected `float` <= 1.0 - at `$.gateways[0].success_rate[0][1]`",
        ),
        (
            '{"gateways": [{"name": "a", "success_rate": [[5, 0.9], [4, 0.9]]}]}',
            "Expected a time >= 5, got 4 - at `$.gateways[0].success_rate[1]`",
        ),
        (
            f'{{"gateways": [{GATEWAY}, {GATEWAY}]}}',
            "Expected a name of its own, got `a` again - at `$.gateways[1].name`",
        ),
        (
            f'{{"gateways": [{GATEWAY}], "duration_s": 0.01}}',
            "Expected 1 to 1,000,000 transactions, got 0 - at `$.duration_s`",
        ),
        (f'{{"gateways": [{GATEWAY}], "tps": 10}}', "Object contains unknown field `tps`"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_the_place(
    tmp_path: Path, content: str, message: str
) -> None:
    file = tmp_path / "hour.json"
    file.write_text(content)
    with pytest.raises(msgspec.DecodeError) as raised:
        read(file)
    assert str(raised.value) == message
