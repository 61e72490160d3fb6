"""Faust's consumer without its dearest habit: four tasks for every record.

It races each delivery to an agent's buffer against the moment at which the flow is suspended (a rebalance), because a
full buffer can hold a delivery up. A buffer is mostly not full, and then the delivery is done in its first step and
there is nothing to race. Half of the worker's CPU went there (faust/transport/consumer.py, `_drain_messages`).
"""

import inspect
import types
from collections.abc import Awaitable, Coroutine, Generator
from typing import Any

from faust.transport.drivers.aiokafka import Consumer, Transport
from mode.services import WaitResults


class BriskConsumer(Consumer):
    async def wait_first(self, *waits: Any, timeout: Any = None) -> WaitResults:  # noqa: ASYNC109  # its name there
        """As the base class, which it calls unless the first coroutine ends without waiting for anything."""
        first, *others = waits
        if timeout is not None or not inspect.iscoroutine(first) or self.should_stop:
            return await super().wait_first(*waits, timeout=timeout)
        try:
            awaited = first.send(None)
        except StopIteration as end:
            for other in others:
                other.close()
            return WaitResults([first], [end.value], False)
        return await super().wait_first(_rest_of(first, awaited), *others)


class BriskTransport(Transport):
    Consumer = BriskConsumer


@types.coroutine
def _resumed(begun: Coroutine[Any, Any, Any], awaited: Any) -> Generator[Any, Any, Any]:
    """What is left of a coroutine that was begun by hand and has come to wait for something."""
    while True:
        try:
            try:
                answer = yield awaited
            except BaseException as error:
                awaited = begun.throw(error)
            else:
                awaited = begun.send(answer)
        except StopIteration as end:
            return end.value


async def _rest_of(begun: Coroutine[Any, Any, Any], awaited: Any) -> Any:
    rest: Awaitable[Any] = _resumed(begun, awaited)
    return await rest
