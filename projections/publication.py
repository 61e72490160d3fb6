"""What is published, as bytes. A cell is written anew only if its windows changed."""

from collections.abc import Iterable, Mapping
from heapq import nlargest

import msgspec

from projections.figures import attempts_in, routing_cell, window_figures
from projections.shard import CELLS_MAX
from projections.tallies import add
from projections.windows import LENGTHS, RollingWindows
from schemas.metrics import BUCKET_S, Cell, CellKind, Published, Tally

SHOWN = 10
"""Finer cells of a kind, of a gateway's method, that its figures show: the busiest of the hour."""
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

    def refresh(self) -> None:
        """Take in what was touched since the last time."""
        for cell in self._windows.touched:
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
        self._windows.touched.clear()

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
        methods: dict[str, dict[str, object]] = {}
        for gateway, method, kind in self._families:
            if kind == "method":
                methods.setdefault(gateway, {})[method] = self._method(gateway, method)
        return {
            gateway: _json(
                {
                    "gateway": gateway,
                    "version": published.version,
                    "as_of": published.as_of,
                    "total": self._total(gateway, shown),
                    "methods": shown,
                }
            )
            for gateway, shown in methods.items()
        }

    def _method(self, gateway: str, method: str) -> dict[str, object]:
        shown: dict[str, object] = {"windows": self._cell(Cell(gateway, method, "method", ""))}
        for kind, name in _FINER.items():
            family = self._families.get((gateway, method, kind), {})
            shown[name] = {cell.value: self._cell(cell) for cell in _busiest(family, SHOWN)}
        return shown

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
