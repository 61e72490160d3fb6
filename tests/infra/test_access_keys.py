"""Files of keys: what they may say, and that a key is made once and never kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.access_keys import admin_keys, merchant_keys
from infra.local import ROOT
from infra.settings import BadSetting, Settings
from schemas.access import digest


def make(*arguments: str) -> tuple[str, dict[str, object]]:
    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "key", *arguments], cwd=ROOT, capture_output=True, check=True
    )
    key, entry = (line.partition(": ")[2] for line in done.stdout.decode().splitlines())
    return key, json.loads(entry)


def test_a_key_that_was_made_is_known_by_what_is_written_down_of_it(tmp_path: Path) -> None:
    key, entry = make("operator", "asha", "read", "circuits")
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([entry]))
    (known,) = admin_keys(Settings(admin_keys_file=str(file)))
    assert (known.name, known.scopes, known.sha256) == ("asha", ("read", "circuits"), digest(key.encode()))
    assert key not in json.dumps(entry)
    assert len(key) > 40


def test_no_two_keys_are_alike(tmp_path: Path) -> None:
    (one, _), (other, entry) = make("merchant", "m_001"), make("merchant", "m_001")
    assert one != other
    file = tmp_path / "keys.json"
    file.write_text(json.dumps([entry]))
    known = merchant_keys(Settings(merchant_keys_file=str(file)))
    assert known is not None
    assert known[0].merchant_id == "m_001"


def test_without_a_file_there_are_no_operators_but_the_internal_key_and_merchants_need_none() -> None:
    assert not admin_keys(Settings())
    assert merchant_keys(Settings()) is None


SHA = "a" * 64


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "\xff",
        f'[{{"name":"asha","sha256":"{SHA}","scopes":[]}}]',
        f'[{{"name":"asha","sha256":"{SHA}","scopes":["everything"]}}]',
        f'[{{"name":"asha for ravi","sha256":"{SHA}","scopes":["read"]}}]',
        '[{"name":"asha","sha256":"the key itself","scopes":["read"]}]',
        f'[{{"name":"asha","sha256":"{SHA}","scopes":["read"],"scope":"data"}}]',
        f'[{{"name":"a","sha256":"{SHA}","scopes":["read"]}},{{"name":"b","sha256":"{SHA}","scopes":["data"]}}]',
    ],
)
def test_a_file_that_makes_no_sense_stops_the_start_by_its_variable(tmp_path: Path, text: str) -> None:
    file = tmp_path / "keys.json"
    file.write_text(text, encoding="latin-1")
    with pytest.raises(BadSetting, match=r"^ADMIN_KEYS_FILE: "):
        admin_keys(Settings(admin_keys_file=str(file)))


def test_a_file_that_is_not_there_stops_the_start() -> None:
    with pytest.raises(BadSetting, match=r"^MERCHANT_KEYS_FILE: "):
        merchant_keys(Settings(merchant_keys_file="/nowhere/keys.json"))
