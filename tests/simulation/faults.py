"""What goes wrong, and how often: everything is drawn from one seeded source, in the order the simulation asks."""

from collections import Counter
from random import Random

from infra.memory.fate import Fate
from infra.memory.gateways import CallFate
from schemas.base import Value


class Rates(Value, frozen=True, kw_only=True):
    """The chance of trouble, for one call or one look at a gate."""

    log: float = 0.04
    store: float = 0.06
    reads: float = 0.05
    calls: float = 0.35
    pauses: float = 0.004
    pauses_after_the_last_look: float = 0.0
    stale_reads: bool = True


class Faults:
    def __init__(self, chance: Random, rates: Rates) -> None:
        self.counted: Counter[str] = Counter()
        self._chance = chance
        self._rates = rates

    def of_a_record(self) -> Fate:
        """Untroubled records take equally long, and so land in their order."""
        return self._fate("log", self._rates.log, Fate(effect_ms=3, answer_ms=self._soon()))

    def of_a_row(self) -> Fate:
        return self._fate("store", self._rates.store, Fate(effect_ms=self._soon(), answer_ms=self._soon()))

    def of_a_read(self) -> Fate:
        return self._fate("read", self._rates.reads, Fate(effect_ms=self._soon(), answer_ms=self._soon()))

    def of_a_call(self) -> CallFate:
        if self._chance.random() >= self._rates.calls:
            return CallFate(effect_ms=self._soon(), answer_ms=self._soon())
        kind = self._chance.choice(
            ("refused", "lost", "answer lost", "late", "broken after", "broken before", "broken, late")
        )
        self.counted[f"call {kind}"] += 1
        late_ms = self._chance.uniform(1_000, 40_000)
        match kind:
            case "refused":
                return CallFate(refused=self._chance.choice(("connect", "dns", "tls", "too_busy")))
            case "lost":
                return CallFate(effect_ms=None)
            case "answer lost":
                return CallFate(effect_ms=self._soon(), answer_ms=None)
            case "late":
                return CallFate(effect_ms=late_ms)
            case "broken after":
                return CallFate(
                    effect_ms=self._soon(), broken=self._chance.choice(("server_error", "rate_limited"))
                )
            case "broken before":
                return CallFate(effect_ms=None, broken="connection_lost")
            case _:
                return CallFate(effect_ms=late_ms, broken="connection_lost")

    def pause_ms(self) -> float:
        return self._pause("pause", self._rates.pauses)

    def pause_after_the_last_look_ms(self) -> float:
        return self._pause("pause after the last look", self._rates.pauses_after_the_last_look)

    def _pause(self, name: str, rate: float) -> float:
        if self._chance.random() >= rate:
            return 0
        self.counted[name] += 1
        return self._chance.uniform(*self._chance.choice(((50, 1_000), (3_000, 30_000))))

    def _fate(self, name: str, rate: float, untroubled: Fate) -> Fate:
        if self._chance.random() >= rate:
            return untroubled
        kind = self._chance.choice(("slow", "lost", "answer lost", "late", "very late"))
        self.counted[f"{name} {kind}"] += 1
        match kind:
            case "slow":
                return Fate(effect_ms=self._soon(), answer_ms=self._chance.uniform(300, 1_900))
            case "lost":
                return Fate(effect_ms=None)
            case "answer lost":
                return Fate(effect_ms=self._soon(), answer_ms=None)
            case "late":
                return Fate(effect_ms=self._chance.uniform(100, 4_000), answer_ms=self._soon())
            case _:
                return Fate(effect_ms=self._chance.uniform(4_000, 40_000), answer_ms=None)

    def _soon(self) -> float:
        return self._chance.uniform(0.5, 8)
