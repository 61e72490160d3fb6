"""A file of lines is whole or not there, and many sorted runs come to one."""

import random
from contextlib import suppress
from pathlib import Path

import pytest

from streams.replay.lines import RUNS_AT_ONCE, encode_lines, merge, whole_file


def test_equal_rows_are_equal_bytes_in_whatever_order_their_counts_were_made() -> None:
    assert encode_lines([{"a": 1, "b": 2}]) == encode_lines([{"b": 2, "a": 1}]) == b'{"a":1,"b":2}\n'


def test_a_file_that_was_not_finished_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"before\n")
    with suppress(ZeroDivisionError), whole_file(path) as file:
        file.write(b"half\n")
        raise ZeroDivisionError
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"before\n"]


def test_a_file_that_is_whole_takes_the_place_of_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"before\n")
    with whole_file(path) as file:
        file.write(b"after\n")
        assert path.read_bytes() == b"before\n"
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"after\n"]


@pytest.mark.parametrize("runs", [0, 1, 7, 2 * RUNS_AT_ONCE + 51])
def test_runs_are_merged_however_many_they_are(runs: int, tmp_path: Path) -> None:
    lines = [b"%06d\n" % number for number in range(3 * runs)]
    random.Random(runs).shuffle(lines)
    paths = [tmp_path / f"{number:04}" for number in range(runs)]
    for number, path in enumerate(paths):
        path.write_bytes(b"".join(sorted(lines[3 * number : 3 * number + 3])))
    with whole_file(tmp_path / "all") as file:
        merge(paths, file)
    assert (tmp_path / "all").read_bytes() == b"".join(sorted(lines))
