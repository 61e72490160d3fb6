"""Files of keys: what they may say, that a key is made once and never kept, and that a change of one is seen."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.access_keys import admin_keys, key_files, merchant_keys
from infra.local import ROOT
from infra.settings import BadSetting, Settings
from schemas.access import AdminKey, MerchantKey, digest


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


class Known:
    """A file of one operator's key, who looks at it, and what has been told of it."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "keys.json"
        self.told: list[list[str]] = []
        self.write("asha")
        settings = Settings(admin_keys_file=str(self.path))
        (self.file,) = key_files(settings, self.take, self.take)

    def take(self, keys: Sequence[AdminKey] | Sequence[MerchantKey]) -> None:
        self.told.append([key.name for key in keys if isinstance(key, AdminKey)])

    def write(self, *names: str) -> None:
        entries = [{"name": name, "sha256": digest(name.encode()), "scopes": ["read"]} for name in names]
        self.path.write_text(json.dumps(entries))


async def test_keys_are_told_when_others_stand_in_the_file_and_only_then(tmp_path: Path) -> None:
    known = Known(tmp_path)
    for names in (["asha"], ["asha"], ["asha", "ravi"], ["ravi"], []):
        known.write(*names)
        await known.file.look()
    assert known.told == [["asha"], ["asha", "ravi"], ["ravi"], []]
    assert known.file.trouble is None


async def test_a_change_that_leaves_size_and_times_as_they_were_is_seen(tmp_path: Path) -> None:
    known = Known(tmp_path)
    await known.file.look()
    before = known.path.stat()
    known.write("ravi")
    os.utime(known.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert known.path.stat().st_size == before.st_size
    await known.file.look()
    assert known.told == [["asha"], ["ravi"]]


async def test_a_file_that_hangs_is_complained_of_and_keeps_nobody_waiting(tmp_path: Path) -> None:
    known = Known(tmp_path)
    await known.file.look()
    known.path.unlink()
    os.mkfifo(known.path)  # its reader waits for a writer, as in a mount whose server is away
    for _ in range(2):
        await known.file.look()
        assert known.file.trouble == "ADMIN_KEYS_FILE cannot be read: the keys before it are valid"
    known.write("ravi")  # a writer, for the reader that hangs
    async with asyncio.timeout(60):
        while known.file.trouble is not None:
            await known.file.look()
    assert known.told == [["asha"], ["ravi"]]


@pytest.mark.parametrize("text", [None, "", '[{"name":"as', '[{"name":"ravi"}]', "\0"])
async def test_a_file_that_cannot_be_read_changes_nothing_and_is_complained_of_until_it_can(
    tmp_path: Path, text: str | None
) -> None:
    known = Known(tmp_path)
    await known.file.look()
    if text is None:
        known.path.unlink()
    else:
        known.path.write_text(text)
    await known.file.look()
    assert known.told == [["asha"]]
    assert known.file.trouble == "ADMIN_KEYS_FILE cannot be read: the keys before it are valid"
    known.write("ravi")
    await known.file.look()
    assert known.told == [["asha"], ["ravi"]]
    assert known.file.trouble is None
