"""What is published, as bytes. A cell is written anew only if its windows changed: every ten seconds all of them do."""

from collections.abc import Iterable, Iterator, Mapping
from heapq import nlargest

import msgspec

from projections.figures import attempts_in, routing_cell, window_figures
from projections.shard import CELLS_MAX
from projections.tallies import add
from projections.windows import LENGTHS, RollingWindows
from schemas.metrics import BUCKET_S, Cell, CellKind, Published, Tally

SHOWN = 10
"""Finer cells of a kind, of a gateway's method, that its figures show: the busiest of the hour."""
CELLS_AT_ONCE = 20
"""Some ten milliseconds."""
_FINER: dict[CellKind, str] = {
    "issuer": "issuers",
    "network": "networks",
    "amount_band": "amount_bands",
    "segment": "segments",
}
_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode


class Publication:
    def __init__(self, windows: RollingWindows) -> None:
        self._windows = windows
        self._families: dict[tuple[str, str, str], dict[Cell, int]] = {}
        """By gateway, method and kind: the cells with their attempts of the hour."""
        self._routing: dict[Cell, msgspec.Raw] = {}
        self._shown: dict[Cell, msgspec.Raw] = {}
        self._totals: dict[str, msgspec.Raw] = {}
        self._all_written = True

    def steps(self) -> Iterator[None]:
        """Take in what was touched since the last time, and write it, with others' turns between. Who does not go to
        the end goes on with it another time."""
        touched = self._windows.touched
        if self._all_written and not touched:
            return
        self._all_written = False
        while touched:
            for _ in range(min(CELLS_AT_ONCE, len(touched))):
                self._take_in(touched.pop())
            yield
        for gateway, methods in self._methods().items():
            for method in methods:
                for cells in self._shown_cells(gateway, method).values():
                    for cell in cells:
                        self._cell(cell)
                        yield
            self._total(gateway, methods)
            yield
        self._all_written = True

    def _take_in(self, cell: Cell) -> None:
        self._shown.pop(cell, None)
        if cell.kind == "method":
            self._totals.pop(cell.gateway, None)
        family = self._families.setdefault(cell[:3], {})
        hour = self._windows.sums(cell)[-1]
        if hour:
            family[cell] = attempts_in(hour)
            self._routing[cell] = msgspec.Raw(_pack(routing_cell(self._windows, cell)))
        else:
            family.pop(cell, None)
            self._routing.pop(cell, None)

    def snapshot(self, published: Published) -> bytes:
        """A RoutingSnapshot. Shards may know different finer cells: of all together the busiest are told."""
        cells = [
            self._routing[cell]
            for family in self._families.values()
            for cell in (family if len(family) <= CELLS_MAX else _busiest(family, CELLS_MAX))
        ]
        return _pack(
            {
                "version": published.version,
                "as_of": published.as_of,
                "cells": cells,
                "bucket_s": BUCKET_S,
                "through": published.through,
            }
        )

    def gateways(self, published: Published) -> dict[str, bytes]:
        """GatewayFigures by gateway, of every one that was ever seen."""
        return {
            gateway: _json(
                {
                    "gateway": gateway,
                    "version": published.version,
                    "as_of": published.as_of,
                    "total": self._total(gateway, methods),
                    "methods": {method: self._method(gateway, method) for method in methods},
                }
            )
            for gateway, methods in self._methods().items()
        }

    def _methods(self) -> dict[str, list[str]]:
        methods: dict[str, list[str]] = {}
        for gateway, method, kind in self._families:
            if kind == "method":
                methods.setdefault(gateway, []).append(method)
        return methods

    def _method(self, gateway: str, method: str) -> dict[str, object]:
        shown = {
            name: {cell.value: self._cell(cell) for cell in cells}
            for name, cells in self._shown_cells(gateway, method).items()
        }
        return {**shown, "windows": shown["windows"][""]}

    def _shown_cells(self, gateway: str, method: str) -> dict[str, list[Cell]]:
        finer = {
            name: _busiest(self._families.get((gateway, method, kind), {}), SHOWN)
            for kind, name in _FINER.items()
        }
        return {"windows": [Cell(gateway, method, "method", "")], **finer}

    def _cell(self, cell: Cell) -> msgspec.Raw:
        if cell not in self._shown:
            self._shown[cell] = msgspec.Raw(_json(window_figures(self._windows.sums(cell))))
        return self._shown[cell]

    def _total(self, gateway: str, methods: Iterable[str]) -> msgspec.Raw:
        if gateway not in self._totals:
            sums: tuple[Tally, ...] = tuple({} for _ in LENGTHS)
            for method in methods:
                of_method = self._windows.sums(Cell(gateway, method, "method", ""))
                for total, tally in zip(sums, of_method, strict=True):
                    add(total, tally)
            self._totals[gateway] = msgspec.Raw(_json(window_figures(sums)))
        return self._totals[gateway]


def _busiest(family: Mapping[Cell, int], how_many: int) -> list[Cell]:
    return nlargest(how_many, family, key=lambda cell: (family[cell], cell))
