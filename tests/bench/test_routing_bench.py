"""The command plays what it is told to, prints JSON where that is wanted, and says in a line what it cannot read."""

import json
from argparse import ArgumentParser
from pathlib import Path

import msgspec
import pytest

from commands.routing.ranking import recomputed
from schemas.payment import PaymentRouted
from tests.bench import routing
from tests.bench.other_hours import OTHERS
from tests.bench.routing_recomputed import agrees
from tests.bench.routing_world import World
from tests.bench.scenarios import read, uniforms

HOUR = """{
  "transactions_per_second": 5, "duration_s": 60, "feedback_delay_transactions": 10, "runs": 3, "seed": 7,
  "gateways": [
    {"name": "A", "success_rate": [[0, 0.95], [20, 0.95], [20, 0.0], [40, 0.0], [40, 0.95]],
     "latency_ms_p50": 300, "fee_bps": 20},
    {"name": "B", "success_rate": [[0, 0.9]], "latency_ms_p50": 200, "fee_bps": 10}
  ]
}"""


@pytest.fixture
def hour(tmp_path: Path) -> Path:
    file = tmp_path / "monday.json"
    file.write_text(HOUR)
    return file


def command(*options: object) -> int:
    parser = ArgumentParser()
    routing.add_arguments(parser)
    return routing.run(parser.parse_args([str(option) for option in options]))


def test_the_same_run_of_our_routing_is_the_same_whichever_process_plays_it(hour: Path) -> None:
    scenario = read(hour)
    assert routing.play(scenario, "bandit-on", [1, 2])[1] == routing.play(scenario, "bandit-on", [2])[0]


def test_every_decision_of_a_played_hour_is_recomputed_from_its_event(hour: Path) -> None:
    scenario, told = read(hour), list[PaymentRouted]()
    World(scenario, uniforms(scenario, 0), bandit=True, told=told.append).play()
    assert len(told) == 300
    assert {routed.strategy for routed in told} > {"THOMPSON"}
    assert all(recomputed(routed) == (routed.strategy, routed.candidates) for routed in told)
    assert agrees(msgspec.json.encode(told[0]))


def test_the_trial_of_a_circuit_ends_also_where_payments_are_few() -> None:
    slow = next(scenario for scenario in OTHERS if scenario.name == "1 a second")
    (run,) = routing.play(slow, "bandit-on", [5])
    assert run.lost < 150, "a trial that never ended sent every payment of the outage to it"


def test_json_goes_to_standard_output_and_nothing_else_does(
    hour: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "plots" / "loss.png"
    policies = "bandit-on,random,srv3"
    assert command("--scenario", hour, "--policies", policies, "--workers", 1, "--plot", plot, "--json") == 0
    out, err = capfd.readouterr()
    found = json.loads(out)["scenarios"]["monday"]
    assert list(found["policies"]) == policies.split(",")
    assert set(found["policies"]["bandit-on"]["traffic_share"]) == {"A", "B"}
    assert found["policies"]["srv3"]["outages"][0]["at_s"] == 20
    assert "monday: 300 payments, 3 runs" in err
    assert plot.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--scenario", "{hour}"], "{hour}: Expected `float`, got `str` - at `$.duration_s`"),
        (["--scenario", "{hour}.not"], "{hour}.not: No such file or directory"),
        (
            ["--scenario", "{hour}2", "--scenario", "{hour}2"],
            "--scenario: Expected names of their own, got `monday`",
        ),
        (["--policies", "best"], "--policies: Expected some of bandit-on,"),
        (["--runs", "0"], "--runs: Expected 1 or more, got 0"),
        (["--plot", "a.txt"], "--plot: Expected a file .svg or .png, got `a.txt`"),
    ],
)
def test_what_cannot_be_understood_is_told_in_one_line(
    hour: Path, capfd: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    hour.with_suffix(".json2").write_text(HOUR)
    hour.write_text(HOUR.replace('"duration_s": 60', '"duration_s": "long"'))
    assert command(*(option.format(hour=hour) for option in options)) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(message.format(hour=hour))
