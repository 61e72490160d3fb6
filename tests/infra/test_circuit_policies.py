"""How each circuit is to be judged, from a file."""

from pathlib import Path

import pytest

from infra.circuit_policies import CircuitPolicies
from infra.settings import BadSetting, Settings
from schemas.circuit import CircuitPolicy
from schemas.ids import GatewayId

ALPHA = GatewayId("alpha")


def policies(folder: Path, text: str) -> CircuitPolicies:
    file = folder / "circuits.json"
    file.write_text(text)
    return CircuitPolicies(Settings.from_environment({"CIRCUIT_POLICIES_FILE": str(file)}))


def test_without_a_file_every_circuit_has_the_defaults() -> None:
    assert CircuitPolicies(Settings()).of((ALPHA, "UPI")) == CircuitPolicy()


def test_the_most_particular_entry_counts(tmp_path: Path) -> None:
    found = policies(
        tmp_path, '{"*": {"probes": 3}, "alpha": {"probes": 4}, "alpha:UPI": {"mode": "metrics_only"}}'
    )
    assert found.of((ALPHA, "UPI")).mode == "metrics_only"
    assert found.of((ALPHA, "CARD")).probes == 4
    assert found.of((GatewayId("beta"), "UPI")).probes == 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"alpha:CASH": {}}',
        '{"ALPHA": {}}',
        '{"*": {"probe": 3}}',
        '{"*": {"probes": 0}}',
        '{"*": {"first_open_s": 300, "longest_open_s": 30}}',
    ],
)
def test_a_file_that_makes_no_sense_stops_the_start_by_name(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadSetting, match="CIRCUIT_POLICIES_FILE"):
        policies(tmp_path, text)


def test_a_file_that_is_not_there_stops_the_start() -> None:
    settings = Settings.from_environment({"CIRCUIT_POLICIES_FILE": "nowhere.json"})
    with pytest.raises(BadSetting, match="CIRCUIT_POLICIES_FILE"):
        CircuitPolicies(settings)
