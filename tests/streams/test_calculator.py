"""The calculator answers by options and in batches alike, and says in one line what it cannot read."""

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE, Popen
from types import SimpleNamespace
from typing import Any, get_type_hints

import msgspec
import pytest
from hypothesis import given, settings

from commands.routing.assignment import Assigner, allocated
from projections.statistics.effective import counts
from projections.statistics.proportions import proportions
from streams.calculator.command import COMMAND, LONGEST_LINE, answered, described
from streams.calculator.glossary import ANSWERS, EXAMPLES, MEANINGS, fields_of
from streams.calculator.requests import KINDS
from streams.calculator.sums import possible
from streams.cli import main
from tests.projections.statistics import crowds
from tests.streams.calculator_requests import requests

TWO = EXAMPLES["proportions"]


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
    assert calc(f"{name} {EXAMPLES[name]}") == 0
    found = json.loads(capfd.readouterr().out)
    assert keys(found) <= set(fields_of(ANSWERS[name]))
    with pytest.raises(SystemExit):
        calc(f"{name} --help")
    out, _ = capfd.readouterr()
    for field in keys(found):
        assert f"  {field}: {MEANINGS[field]}" in out
    assert f"{COMMAND} {name} {EXAMPLES[name]}\n" in out


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


def test_it_assigns_by_the_ranges_of_a_scaled_experiment_as_routing_does(
    capfd: pytest.CaptureFixture[str],
) -> None:
    started = allocated({"control": 500, "treatment": 500})
    scaled = allocated({"control": 1_000, "treatment": 1_000}, started)
    ranges = " ".join(f"{one.variant}={one.first}-{one.end}" for one in scaled)
    assigner = Assigner("exp_1", scaled)
    for customer in ("cus_2", "cus_1", "काउंटर-7"):
        calc(f"assign --salt exp_1 --customer-id {customer} --allocation {ranges}")
        assert json.loads(capfd.readouterr().out)["variant"] == assigner.variant(customer)
    assert assigner.variant("cus_2") == "treatment", "as before it was scaled: new weights alone say control"


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
    for name, example in EXAMPLES.items():
        assert f"{COMMAND} {name} {example}\n" in text


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
        ("assign --salt a --customer-id b", "Expected either `allocation` or `weights`"),
        (
            "assign --salt a --customer-id b --allocation a=0-5 --weights a=5",
            "Expected either `allocation` or `weights`",
        ),
        (
            "assign --salt a --customer-id b --allocation a=0-50 b=49-60",
            "allocation[1]: Expected ranges in ascending order",
        ),
        ("assign --salt a --customer-id b --allocation a=0", "allocation[0].end: Expected `int`"),
        (
            "slowness --control 1 0 0 0 0 0 --treatment 1 1 1 1 1 1 --control-bins 1=1 --treatment-bins 1=1",
            "control: Expected sums of whole numbers, 1 ≤ x and 0 ≤ y: customers ≤ Σx",
        ),
        ("assign --salt a --customer-id b --weights a=10001", "weights[...]: Expected `int` <= 10000"),
        (
            "assign --salt a --customer-id b --weights a=11 --buckets 10",
            "weights: Expected at most `buckets`",
        ),
        ("wilson --successes 1 --trials 10 --confidence nan", "confidence: Expected"),
        ("wilson --successes -1 --trials 10", "successes: Expected `int` >= 0"),
        ("power --control-rate .9 --difference -1e-2 --power .05", "power: Expected more than `alpha`"),
        ("power --control-rate .9 --difference .01 --customers-per-day inf", "customers_per_day: Expected"),
        ("noninferiority " + TWO + " --margin 1e-300", "margin: Expected `float` >= 1e-06"),
        ("assign --salt \udcff --customer-id b --weights a=1", "Expected UTF-8 text"),
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
        b'{"calculate": "wilson", "successes": 9, "trials": 10, "confidence": NaN}\n',
        b'{"calculate": "wilson", "successes": 9, "trials": 1e400}\n',
        b'{"calculate": "assign", "salt": "\xff", "customer_id": "a", "weights": {"a": 1}}\n',
        b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b', "calculate": "wilson"}\n',
        b'{"calculate": "sequential", "planned_customers": [[]]}\n',
        b'{"calculate": "holm", "p_values": [0.01]}',
    ]
    found = [json.loads(line) for line in answered(io.BytesIO(b"".join(lines)))]
    assert found[0]["method"] == "wilson_score"
    assert [(one["field"], one["error"]) for one in found[1:-1]] == [
        (None, "Expected `object`, got an empty line"),
        (None, "JSON is malformed: invalid character (byte 4)"),
        ("trials", "Object missing required field `trials`"),
        ("colour", "Object contains unknown field `colour`"),
        ("successes", "Expected at most `trials`, 10, got 12"),
        ("calculate", "Invalid value 'guess'"),
        ("p_values[1]", "Expected `float` <= 1.0"),
        (None, "JSON is malformed: invalid character (byte 68)"),
        ("trials", "Number out of range"),
        (None, "Expected UTF-8 text"),
        (None, "Nested too deeply"),
        ("planned_customers", "Expected `float | null`, got `array`"),
    ]
    assert found[-1]["adjusted"] == [0.01]


def test_a_line_that_is_too_long_is_passed_over() -> None:
    short = b'{"calculate": "holm", "p_values": [0.01]}\n'
    for ending in (b"\n", b"x\n", b"x" * (LONGEST_LINE + 5) + b"\n"):
        lines = b" " * LONGEST_LINE + ending + short
        refused, found = [json.loads(line) for line in answered(io.BytesIO(lines))]
        assert refused == {"error": "Expected at most 16,777,216 bytes", "field": None}
        assert found["adjusted"] == [0.01]


IMPOSSIBLE = {
    "1 ≤ customers ≤ Σx": (10, 9, 9, 9, 9, 9),
    "Σy ≤ Σx": (2, 2, 3, 2, 3, 3),
    "(Σx)² ≤ customers·Σx²": (2, 10, 0, 40, 0, 0),
    "Σx² ≤ (Σx - customers + 1)² + customers - 1": (5, 10, 0, 42, 0, 0),
    "Σy ≤ Σy² ≤ Σxy ≤ Σx²": (2, 4, 2, 8, 2, 1),
    "(Σy)² ≤ customers·Σy²": (2, 6, 4, 20, 6, 8),
    "(Σxy)² ≤ Σx²·Σy²": (2, 4, 2, 8, 2, 6),
    "Σ(x-y) ≤ Σ(x-y)²": (1, 2, 0, 4, 4, 4),
    "Σx² and Σy² are odd where Σx and Σy are": (3, 6, 0, 13, 0, 0),
}


@pytest.mark.parametrize("condition", IMPOSSIBLE)
def test_sums_that_no_customers_have_are_refused(condition: str) -> None:
    request = {"calculate": "clustered", "control": IMPOSSIBLE[condition], "treatment": (2, 2, 1, 2, 1, 1)}
    (found,) = answered(io.BytesIO(json.dumps(request).encode()))
    refused = json.loads(found)
    assert refused["field"] == "control"
    assert refused["error"].endswith(f": {condition}")


@given(crowds.customers)
def test_sums_of_any_customers_are_possible(people: crowds.Customers) -> None:
    sums = [int(one) for one in crowds.summed(people)]
    assert all(is_possible for is_possible, _ in possible(*sums))


@given(requests)
@settings(max_examples=400, deadline=None)
def test_at_every_corner_there_is_an_answer_or_a_reason_in_strict_json(request: dict[str, Any]) -> None:
    (line,) = answered(io.BytesIO(json.dumps(request).encode()))
    found = json.loads(line, parse_constant=pytest.fail)
    if "error" in found:
        assert found["error"].startswith("Expected")
        return
    for name, value in leaves(found):
        if name == "p_value" and value is not None:
            assert 0 <= value <= 1
        if name == "log10_p" and value is not None:
            assert value <= 0
    for interval in intervals(found):
        if None not in (interval["estimate"], interval["lower"], interval["upper"]):
            assert interval["lower"] <= interval["estimate"] <= interval["upper"]


def leaves(value: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, one in value.items():
        if isinstance(one, dict):
            yield from leaves(one)
        else:
            yield name, one


def intervals(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "lower" in value:
        yield value
    for one in value.values():
        if isinstance(one, dict):
            yield from intervals(one)


def test_where_there_is_no_error_to_measure_by_nothing_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    """All customers of an arm are alike, and those of the other otherwise."""
    assert calc("clustered --control 5 5 5 5 5 5 --treatment 5 5 0 5 0 0") == 0
    found = json.loads(capfd.readouterr().out)["clustered"]
    test = found["test"]
    assert (test["statistic"], test["p_value"], test["log10_p"]) == (None, None, None)
    assert (found["standard_error"], found["degrees_of_freedom"]) == (0, None)


def test_a_batch_comes_from_standard_input(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    request = b'{"calculate": "assign", "salt": "exp_1", "customer_id": "cus_1", "weights": {"a": 10000}}'
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(request)))
    assert calc("--batch") == 0
    assert json.loads(capfd.readouterr().out)["bucket"] == 231


def test_a_batch_ends_quietly_when_nobody_reads_on() -> None:
    command = [sys.executable, "-m", "streams.cli", "experiment", "calc", "--batch"]
    with Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, cwd=Path(__file__).parents[2]) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b'{"calculate": "holm", "p_values": [0.01]}\n')
        process.stdin.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_without_a_calculation_it_says_how_it_is_used(capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in ("", "--batch wilson --successes 1 --trials 2"):
        assert calc(arguments) == 2
        assert "name a calculation" in capfd.readouterr().err
