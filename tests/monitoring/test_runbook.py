"""Whoever is woken finds a section that says what to do, and commands that work."""

import asyncio
import re

import asyncpg
import pytest
from starlette.routing import Match, Route

from api.app import create_app
from infra.local import ROOT
from infra.local.stack import Stack
from infra.postgres.migrate import migrate
from tests.api.stand_ins import PAYMENT, World
from tests.monitoring.rules import alerts

RUNBOOK = (ROOT / "docs" / "runbook.md").read_text()
SECTIONS = {
    section.partition("\n")[0]: section.partition("\n")[2].partition("\n## ")[0]
    for section in RUNBOOK.split("\n### ")[1:]
}
QUERIES = re.findall(r"```sql\n(.*?)```", RUNBOOK, re.DOTALL)
CALLS = re.findall(r"curl -s (?:-X (\w+) )?\"?(\$API[^\s`\"]*(?: \$API[^\s`\"]*)*)", RUNBOOK)


def test_every_alert_has_its_section_and_every_section_its_alert() -> None:
    assert [alert["alert"] for alert in alerts()] == list(SECTIONS)
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_a_section_says_its_severity_what_it_means_for_money_how_to_look_what_to_do_and_what_not(
    alert: dict[str, dict[str, str]],
) -> None:
    section = SECTIONS[str(alert["alert"])]
    assert section.startswith(f"{alert['labels']['severity']} · **Money:**")
    for part in ("**Look", "do:**" if "**Look and do:**" in section else "**Do:**", "**Don't:**"):
        assert part in section


def test_links_within_the_runbook_lead_somewhere() -> None:
    anchors = {name.lower() for name in SECTIONS}
    assert set(re.findall(r"\]\(#(\w+)\)", RUNBOOK)) <= anchors


@pytest.mark.parametrize(
    ("method", "path"),
    sorted({(method or "GET", url) for method, urls in CALLS for url in urls.split()}),
)
def test_what_is_to_be_called_is_there(method: str, path: str) -> None:
    path = path.removeprefix("$API").replace("$PAYMENT", PAYMENT).partition("?")[0]
    scope = {"type": "http", "method": method, "path": path, "headers": []}
    routes = [route for route in create_app(World().services()).routes if isinstance(route, Route)]
    assert any(route.matches(scope)[0] == Match.FULL for route in routes), f"{method} {path}"


@pytest.mark.integration
def test_every_query_is_one_that_our_tables_answer(stack: Stack) -> None:
    url = stack.env["DATABASE_URL"]

    async def explain() -> None:
        await migrate(url)
        connection = await asyncpg.connect(url)
        try:
            for query in QUERIES:
                await connection.fetch(f"EXPLAIN {query}")
        finally:
            await connection.close()

    assert len(QUERIES) >= 6
    asyncio.run(explain())
