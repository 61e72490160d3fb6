"""Rules that Prometheus takes, that wake for money, and that each say what to do."""

from pathlib import Path

import pytest
import yaml

from infra.local.services import programs
from infra.settings import Settings
from tests.monitoring.rules import FOLDER, RULES, alerts, dashboard_queries, promtool, rules, selectors

HERE = Path(__file__).parent


def test_prometheus_takes_the_configuration_and_every_rule() -> None:
    for arguments in (
        ("check", "config", FOLDER / "prometheus.yml"),
        ("check", "rules", "--lint=all", RULES),
    ):
        checked = promtool(*arguments)
        assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("story", sorted(HERE.glob("*_test.yml")), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should_and_only_then(story: Path) -> None:
    tested = promtool("test", "rules", story)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_every_query_of_the_dashboard_is_one_that_prometheus_takes(tmp_path: Path) -> None:
    group = {
        "name": "dashboard",
        "rules": [{"record": f"q{n}", "expr": query} for n, query in enumerate(dashboard_queries())],
    }
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [group]}))
    checked = promtool("check", "rules", tmp_path / "queries.yml")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_costs_money_wakes_somebody() -> None:
    severity = {alert["alert"]: alert["labels"]["severity"] for alert in alerts()}
    assert set(severity.values()) == {"page", "ticket"}
    for name in (
        "DuplicateCharge",
        "DuplicateChargeHeld",
        "OrphanCharge",
        "PaymentsUnverified",
        "NobodyServes",
    ):
        assert severity[name] == "page"


def test_no_two_alerts_have_one_name_and_each_is_summed_up() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(names) == len(set(names))
    assert all(alert["annotations"]["summary"] for alert in alerts())


def test_recorded_names_are_those_that_are_used() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    queries = [*(alert["expr"] for alert in alerts()), *dashboard_queries()]
    assert {s.metric for query in queries for s in selectors(query) if ":" in s.metric} <= recorded


def test_every_process_that_is_ours_is_scraped_where_it_listens() -> None:
    """But the simulator, which is none of the product."""
    (job,) = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    scraped = {
        target["labels"]["process"]: target["targets"][0].rpartition(":")[2]
        for target in job["static_configs"]
    }
    listening = {
        program.name: getattr(Settings(), program.variable.lower()).rpartition(":")[2]
        for program in programs()
        if program.name != "simulator"
    }
    assert scraped == listening


@pytest.mark.parametrize(
    ("query", "metrics"),
    [
        ('sum by (a) (rate(x_total{b="c(d)"}[5m])) / y', ["x_total", "y"]),
        ("absent(z) or vector(0) == 0 and on (k) w", ["z", "w"]),
        ("max(a:b:rate5m) > 14.4 * 0.01", ["a:b:rate5m"]),
    ],
)
def test_the_names_of_a_query_are_found(query: str, metrics: list[str]) -> None:
    assert [selector.metric for selector in selectors(query)] == metrics
