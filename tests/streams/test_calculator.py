"""The calculator answers by options and in batches alike, and says in one line what it cannot read."""

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import get_type_hints

import msgspec
import pytest

from projections.statistics.effective import counts
from projections.statistics.proportions import proportions
from streams.calculator.command import answered, described
from streams.calculator.glossary import ANSWERS, MEANINGS, fields_of
from streams.calculator.requests import KINDS
from streams.cli import main

TWO = (
    "--control-successes 80000 --control-trials 100000 --treatment-successes 85000 --treatment-trials 100000"
)
CALCULATIONS = {
    "proportions": TWO,
    "sequential": f"{TWO} --planned-customers 100000",
    "clustered": "--control 10 20 18 60 50 52 --treatment 10 20 15 60 40 45",
    "srm": "--observed 821588 815482 --weights 1 1",
    "power": "--control-rate .9 --difference -.01 --customers 10000 --customers-per-day 500",
    "holm": "--p-values .01 .04 .03",
    "latency": "--control-ms 100 200 300 --treatment-ms 200 300 500.5",
    "noninferiority": f"{TWO} --margin 0.05",
    "fisher": f"{TWO} --alternative greater",
    "wilson": "--successes 0 --trials 10 --confidence .9",
    "assign": "--salt exp_1 --customer-id cus_1 --weights control=5000 treatment=5000",
}


def calc(arguments: str) -> int:
    return main(["experiment", "calc", *arguments.split()])


def keys(value: object) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*(keys(one) for one in value.values()))
    return set()


@pytest.mark.parametrize("name", KINDS)
def test_every_calculation_answers_json_of_which_every_field_is_explained(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert calc(f"{name} {CALCULATIONS[name]}") == 0
    found = json.loads(capfd.readouterr().out)
    assert keys(found) <= set(fields_of(ANSWERS[name]))
    with pytest.raises(SystemExit):
        calc(f"{name} --help")
    out, _ = capfd.readouterr()
    for field in keys(found):
        assert f"  {field}: {MEANINGS[field]}" in out


def test_it_answers_what_the_results_functions_do(capfd: pytest.CaptureFixture[str]) -> None:
    calc(f"proportions {TWO}")
    found = json.loads(capfd.readouterr().out)
    assert found == msgspec.to_builtins(proportions(counts(80_000, 100_000), counts(85_000, 100_000)))
    assert found["test"]["log10_p"] == pytest.approx(-189.57, abs=0.01)


@pytest.mark.parametrize(
    ("customer", "bucket", "arm", "variant"),
    [("cus_4", 1565, 274, "control"), ("cus_9", 1767, 730, "treatment")],
)
def test_it_assigns_within_a_group_as_the_published_vectors_do(
    customer: str, bucket: int, arm: int, variant: str, capfd: pytest.CaptureFixture[str]
) -> None:
    calc(f"assign --salt checkout --customer-id {customer} --weights all=10000")
    assert json.loads(capfd.readouterr().out)["bucket"] == bucket
    calc(f"assign --salt exp_1 --customer-id {customer} --weights control=500 treatment=500 --buckets 1000")
    found = json.loads(capfd.readouterr().out)
    assert found == {"method": "sha256_6_bytes_modulo_1000", "bucket": arm, "variant": variant}


def test_every_field_is_in_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "experiments.md").read_text()
    for kind in KINDS.values():
        hints = get_type_hints(kind, include_extras=True)
        for field in msgspec.structs.fields(kind):
            meaning = described(hints[field.name])
            assert meaning
            assert f"| `{field.name}` | {meaning} |" in text, field.name
    for name, meaning in MEANINGS.items():
        assert f"| `{name}` | {meaning} |" in text, name


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("wilson --successes 11 --trials 10", "successes: Expected at most `trials`, 10, got 11"),
        ("wilson --successes 9", "trials: Object missing required field `trials`"),
        ("noninferiority " + TWO + " --margin nan", "margin: Expected"),
        ("power --control-rate .9 --difference 1e-200", "difference: Expected 1e-06 or more"),
        ("holm --p-values nan", "p_values[0]: Expected"),
        ("wilson --successes x --trials 10", "successes: Expected `int`, got `str`"),
        ("wilson --successes 1 --trials 0", "trials: Expected `int` >= 1"),
        ("srm --observed 1 2 --weights 1 1 1", "weights: Expected as many as `observed`, 2, got 3"),
        ("power --control-rate .9 --difference .1", "difference: Expected 1e-06 or more"),
        ("assign --salt a --customer-id b --weights a=10001", "weights[...]: Expected `int` <= 10000"),
        (
            "assign --salt a --customer-id b --weights a=11 --buckets 10",
            "weights: Expected at most `buckets`",
        ),
        ("fisher " + TWO.replace("100000", "100000000"), "Expected at most 10,000,000 trials"),
    ],
)
def test_what_cannot_be_computed_is_told_in_one_line(
    arguments: str, complaint: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert calc(arguments) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(complaint)


def test_a_batch_goes_on_after_a_line_that_it_cannot_read() -> None:
    lines = [
        b'{"calculate": "wilson", "successes": 9, "trials": 10}\n',
        b"\n",
        b"not json\n",
        b'{"calculate": "wilson", "successes": 9}\n',
        b'{"calculate": "wilson", "successes": 9, "trials": 10, "colour": 1}\n',
        b'{"calculate": "wilson", "successes": 12, "trials": 10}\n',
        b'{"calculate": "guess"}\n',
        b'{"calculate": "holm", "p_values": [0.01, 2]}\n',
        b'{"calculate": "holm", "p_values": [0.01]}',
    ]
    found = [json.loads(line) for line in answered(lines)]
    assert found[0]["method"] == "wilson_score"
    assert [(one["field"], one["error"]) for one in found[1:-1]] == [
        (None, "JSON is malformed: invalid character (byte 4)"),
        ("trials", "Object missing required field `trials`"),
        ("colour", "Object contains unknown field `colour`"),
        ("successes", "Expected at most `trials`, 10, got 12"),
        ("calculate", "Invalid value 'guess'"),
        ("p_values[1]", "Expected `float` <= 1.0"),
    ]
    assert found[-1]["adjusted"] == [0.01]


def test_a_batch_comes_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    request = b'{"calculate": "assign", "salt": "exp_1", "customer_id": "cus_1", "weights": {"a": 10000}}'
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(request)))
    assert calc("--batch") == 0
    assert json.loads(capfd.readouterr().out)["bucket"] == 231


def test_without_a_calculation_it_says_how_it_is_used(capfd: pytest.CaptureFixture[str]) -> None:
    assert calc("") == 2
    assert "name a calculation" in capfd.readouterr().err
