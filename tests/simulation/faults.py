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
    questions: float = 0.15
    notifications: float = 0.4
    lies: float = 0.03
    """About one attempt, each time that somebody may lie."""
    deliveries: float = 0.2
    pauses: float = 0.004
    pauses_after_the_last_look: float = 0.0
    stale_reads: bool = True


class Faults:
    def __init__(self, chance: Random, rates: Rates) -> None:
        self.counted: Counter[str] = Counter()
        self.are_over = False
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
        if not self._happens(self._rates.calls):
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

    def of_a_question(self) -> CallFate:
        """A look, a burning, a capture or a giving back."""
        if not self._happens(self._rates.questions):
            return CallFate(effect_ms=self._soon(), answer_ms=self._soon())
        kind = self._chance.choice(("refused", "lost", "answer lost", "broken after", "late"))
        self.counted[f"question {kind}"] += 1
        match kind:
            case "refused":
                return CallFate(refused="connect")
            case "lost":
                return CallFate(effect_ms=None)
            case "answer lost":
                return CallFate(effect_ms=self._soon(), answer_ms=None)
            case "broken after":
                return CallFate(effect_ms=self._soon(), broken="server_error")
            case _:
                return CallFate(effect_ms=self._chance.uniform(1_000, 20_000))

    def of_a_notification(self) -> list[float]:
        """After how many milliseconds it arrives, each time that it does."""
        if not self._happens(self._rates.notifications):
            return [self._soon()]
        kind = self._chance.choice(("lost", "doubled", "late", "doubled and late"))
        self.counted[f"notification {kind}"] += 1
        match kind:
            case "lost":
                return []
            case "doubled":
                return [self._soon(), self._soon()]
            case "late":
                return [self._chance.uniform(500, 90_000)]
            case _:
                return [self._chance.uniform(500, 90_000), self._chance.uniform(500, 90_000)]

    def is_lied_about(self) -> bool:
        return self._happens(self._rates.lies)

    def of_a_delivery(self, begin: int, end: int) -> int:
        """From which offset on a consumer is given what lies between the two."""
        if not self._happens(self._rates.deliveries):
            return begin
        kind = self._chance.choice(("again", "with a hole"))
        self.counted[f"delivered {kind}"] += 1
        return self._chance.randint(0, begin) if kind == "again" else self._chance.randint(begin, end - 1)

    def of_a_commit(self) -> str:
        """Whether it is kept, lost, or kept and nothing is heard of it."""
        if not self._happens(self._rates.store):
            return "kept"
        kind = self._chance.choice(("lost", "answer lost"))
        self.counted[f"commit {kind}"] += 1
        return kind

    def pause_ms(self) -> float:
        return self._pause("pause", self._rates.pauses)

    def pause_after_the_last_look_ms(self) -> float:
        return self._pause("pause after the last look", self._rates.pauses_after_the_last_look)

    def _pause(self, name: str, rate: float) -> float:
        if not self._happens(rate):
            return 0
        self.counted[name] += 1
        return self._chance.uniform(*self._chance.choice(((50, 1_000), (3_000, 30_000))))

    def _fate(self, name: str, rate: float, untroubled: Fate) -> Fate:
        if not self._happens(rate):
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

    def _happens(self, rate: float) -> bool:
        return self._chance.random() < rate and not self.are_over

    def _soon(self) -> float:
        return self._chance.uniform(0.5, 8)
