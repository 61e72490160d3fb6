"""Whether this process can serve: what each dependency last proved, and how long ago."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial

from api import metrics
from api.ports import Check
from api.watch import NotWell, Watched, repeating
from commands.ports import Clock
from infra.metrics import READY
from schemas.base import Value


class DependencyState(Value, frozen=True, kw_only=True):
    name: str
    required: bool
    ok: bool
    detail: str
    age_ms: int | None
    """Since it last proved to be well; None if it never did."""


class ReadinessAnswer(Value, frozen=True, kw_only=True):
    ready: bool
    draining: bool
    dependencies: tuple[DependencyState, ...]


class Readiness:
    def __init__(
        self, clock: Clock, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None
    ) -> None:
        self._required = frozenset(required)
        self._watched = {
            name: Watched(_proof_of(check), clock) for name, check in {**required, **(optional or {})}.items()
        }

    def running(self) -> AbstractAsyncContextManager[None]:
        """Each dependency is asked on its own, so that one that hangs does not age the others."""
        return repeating(*(partial(self._look_at, name) for name in self._watched))

    async def look(self) -> None:
        """Ask each once, now."""
        for name in self._watched:
            await self._look_at(name)

    async def _look_at(self, name: str) -> None:
        await self._watched[name].look()
        metrics.DEPENDENCY_OK.labels(name).set(self._watched[name].trouble is None)
        READY.set(all(self._watched[required].trouble is None for required in self._required))

    def answer(self, is_draining: bool) -> ReadinessAnswer:
        states = tuple(self._state(name, watched) for name, watched in self._watched.items())
        is_well = all(state.ok for state in states if state.required)
        return ReadinessAnswer(ready=is_well and not is_draining, draining=is_draining, dependencies=states)

    def _state(self, name: str, watched: Watched[str]) -> DependencyState:
        trouble = watched.trouble
        return DependencyState(
            name=name,
            required=name in self._required,
            ok=trouble is None,
            detail=trouble or watched.latest or "ok",
            age_ms=watched.age_ms,
        )


def _proof_of(check: Check) -> Callable[[], Awaitable[str]]:
    async def prove() -> str:
        proof = await check.check()
        if not proof.ok:
            raise NotWell(proof.detail)
        return proof.detail

    return prove
