"""The page for analysts is done as it is written, on a product that was paid with, and its answers are the log's.

`./dev` stands for a script that leads to this product's servers; all else is given to a shell, and to DuckDB, as it is.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from infra.kafka.partition import PAYMENT_PARTITIONS
from infra.local import ROOT
from infra.local.processes import surroundings
from schemas.codec import PAYMENTS_TOPIC
from tests.product import Product, own_servers, running
from tests.streams.replay.world import World

pytestmark = pytest.mark.integration

BLOCK = re.compile(r"^```(sql)?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
DEV = """\
#!/bin/sh
case $1 in
run) exit ;;
bench) shift; exec {python} -m tests.bench "$@" --url {url} ;;
cli) shift; exec {python} -m streams.cli "$@" ;;
esac
exit 64
"""
A_PAYMENT = "SELECT max(aggregate_id) FROM events WHERE type = 'PaymentSucceeded'"

ENDS_WITHIN_S = 300
"""A block of several commands, on a machine that has much else to do."""

Row = tuple[Any, ...]


class Analyst:
    """With a folder, in which the page was gone through from its beginning to its end."""

    def __init__(self, product: Product, folder: Path) -> None:
        self.folder = folder
        self.world = World(product.env, PAYMENT_PARTITIONS, PAYMENTS_TOPIC)
        self._env = surroundings({**product.env, "PYTHONPATH": str(ROOT)})
        dev = folder / "dev"
        dev.write_text(DEV.format(python=sys.executable, url=product.api.url))
        dev.chmod(0o755)
        self._files = duckdb.connect(config={"file_search_path": str(folder)})
        self.tables: list[Sequence[Row]] = []
        self.said = ""

    def goes_through(self, page: str) -> None:
        for language, block in BLOCK.findall(page):
            if language == "sql":
                self.tables.append(self._files.execute(block).fetchall())
            else:
                self._types(block)

    @property
    def payment(self) -> str:
        found = self._files.execute(A_PAYMENT).fetchone()
        assert found is not None
        return str(found[0])

    def _types(self, block: str) -> None:
        lines = block.replace("pay_…", self.payment) if "pay_…" in block else block
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines],
            cwd=self.folder,
            env=self._env,
            capture_output=True,
            text=True,
            timeout=ENDS_WITHIN_S,
        )
        assert done.returncode == 0, f"{lines}\n{done.stdout}\n{done.stderr}"
        self.said += done.stdout


@pytest.fixture(scope="module")
def analyst(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Analyst]:
    with own_servers("analysts") as stack, running(Product(stack, stack.folder / "product")) as product:
        analyst = Analyst(product, tmp_path_factory.mktemp("analyst"))
        analyst.goes_through((ROOT / "docs" / "analysts.md").read_text())
        yield analyst


async def metrics(analyst: Analyst, *words: str) -> dict[tuple[str, str], Mapping[str, int]]:
    """By gateway and method, of the hours that the page asks for."""
    code, said, complained = await analyst.world.types("metrics", "--from", "2h", "--json", *words)
    assert code == 0, complained
    rows = [json.loads(line) for line in said.splitlines()]
    return {(row["by"]["gateway"], row["by"]["method"]): row["figures"] for row in rows}


async def test_what_the_page_asks_of_the_files_is_what_metrics_says_of_the_same_hours(
    analyst: Analyst,
) -> None:
    by_first_gateway, by_attempts = analyst.tables
    figures = await metrics(analyst)
    assert len(figures) > 1
    assert by_attempts == [
        (*group, row["attempts"], row["succeeded"]) for group, row in sorted(figures.items())
    ]
    paid = Counter[str]()
    succeeded = Counter[str]()
    for method, _, payments, _, any_attempt_success, _ in by_first_gateway:
        paid[method] += round(payments * any_attempt_success)
    for (_, method), row in figures.items():
        succeeded[method] += row["succeeded"]
    assert paid == succeeded


async def test_the_page_ends_with_a_read_model_that_is_what_the_log_says(analyst: Analyst) -> None:
    assert re.search(r"[1-9]\d* payments of [\d,]+ records: 0 differences", analyst.said)
    assert f"{analyst.payment} is SUCCESS" in analyst.said


async def test_what_if_answers_as_before_by_the_files_when_the_topic_has_lost_its_first_half(
    analyst: Analyst,
) -> None:
    question = ("what-if", str(analyst.folder / "policy.json"), "--by", "method", "--json")
    cold = ("--cold", str(analyst.folder / "cold"))
    _, before, _ = await analyst.world.types(*question)
    manifest = json.loads((analyst.folder / "cold" / PAYMENTS_TOPIC / "manifest.json").read_bytes())
    for part in manifest["parts"]:
        await analyst.world.retire(part["stop"] // 2, part["partition"])
    code, said, complained = await analyst.world.types(*question, *cold)
    assert (code, said) == (0, before)
    assert complained.count("and it is the same") == len(manifest["parts"])
    code, said, complained = await analyst.world.types(*question)
    assert (code, said, "and 0 was asked for" in complained) == (4, "", True), complained
    code, _, complained = await analyst.world.types("what-if", "--shadow", *cold)
    assert (code, "there is no export of shadow.events.v1" in complained) == (4, True), complained
