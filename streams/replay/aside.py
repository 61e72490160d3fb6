"""Records put aside on disk by their keys, to be folded a share of the keys at a time."""

from array import array
from collections.abc import Iterable, Iterator
from typing import IO
from zlib import crc32

import cramjam
import msgspec

from infra.kafka.stretches import Record

GATHERED = 10_000
"""Records in memory, before each share's are written together: alike as they are, they become a tenth of their size."""
LEVEL = 1
"""Of zstd."""
_LENGTH_BYTES = 4

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Record]).decode


class Aside:
    def __init__(self, file: IO[bytes], shares: int) -> None:
        """In a file that is empty and nobody else's."""
        self._file = file
        self._gathered: list[list[Record]] = [[] for _ in range(shares)]
        self._records = 0
        self._places = [array("q") for _ in range(shares)]
        """Where in the file there is something of each share."""

    def put(self, records: Iterable[Record]) -> None:
        """All of one key are in the same share."""
        shares = len(self._gathered)
        for one in records:
            self._gathered[crc32(one.key or b"") % shares].append(one)
            self._records += 1
        if self._records >= GATHERED:
            self._write()

    def share(self, number: int) -> Iterator[list[Record]]:
        """In the order in which they were put aside."""
        self._write()
        for place in self._places[number]:
            self._file.seek(place)
            length = int.from_bytes(self._file.read(_LENGTH_BYTES))
            yield _decode(memoryview(cramjam.zstd.decompress(self._file.read(length))))

    def _write(self) -> None:
        self._records = 0
        for records, places in zip(self._gathered, self._places, strict=True):
            if records:
                places.append(self._file.tell())
                written = bytes(cramjam.zstd.compress(_encode(records), LEVEL))
                self._file.write(len(written).to_bytes(_LENGTH_BYTES))
                self._file.write(written)
                records.clear()
