"""The files of infra/monitoring as tests read them, and what their queries name."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
import yaml

from infra.local import LOCAL, ROOT

FOLDER = ROOT / "infra" / "monitoring"
RULES = FOLDER / "alerts.yml"
DASHBOARD = FOLDER / "grafana" / "dashboards" / "on_call.json"

_GROUPING = re.compile(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_SELECTOR = re.compile(r"(?<![\w:])([A-Za-z_:][\w:]*)(?![\w:])(?!\s*\()\s*(\{[^}]*\})?")
_MATCHER = re.compile(r"(\w+)\s*(=~|!~|!=|=)\s*\"([^\"]*)\"")
_WORDS = {"and", "or", "unless", "bool", "offset"}


class Matcher(NamedTuple):
    label: str
    operator: str
    value: str


class Selector(NamedTuple):
    metric: str
    matchers: tuple[Matcher, ...]


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    return [rule for rule in rules() if "alert" in rule]


def panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = msgspec.json.decode(DASHBOARD.read_bytes())["panels"]
    return found


def dashboard_queries() -> list[str]:
    """As Grafana sends them: its variable for a range is one."""
    return [
        target["expr"].replace("$__rate_interval", "5m")
        for panel in panels()
        for target in panel.get("targets", ())
    ]


def selectors(query: str) -> Iterator[Selector]:
    """What of a query is neither function nor word nor label."""
    for name, braces in _SELECTOR.findall(_GROUPING.sub(" ", re.sub(r"\[[^\]]*\]", " ", query))):
        if name not in _WORDS:
            yield Selector(name, tuple(Matcher(*found) for found in _MATCHER.findall(braces)))


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool") or str(LOCAL / "bin" / "promtool")
    if not Path(found).exists():
        pytest.skip("promtool is not installed")
    return subprocess.run(
        [found, *map(str, arguments)], capture_output=True, text=True, timeout=100, check=False
    )
