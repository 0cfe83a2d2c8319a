"""Work on the next items while the present one is used."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

from edgeinfer.host import usable_cpus
from edgeinfer.inference.workers import preparers

Item = TypeVar("Item")
Result = TypeVar("Result")
# A handoff to another thread and back takes up to a tenth of this.
_WORTH_IT_S = 0.0005


def ahead(
    work: Callable[[Item], Result], items: Iterable[Item], clock: Callable[[], float] = time.perf_counter
) -> Iterator[Result]:
    """Yield what work makes of each item, in order; of the next ones on other threads, where that pays.

    Items are taken from the iterable on the thread of the caller, at most two a processor before their turn. What work
    raises is raised in the item's turn; what came before it has been yielded.

    Args:
        work: What to do; the first items tell whether it takes long enough to be worth a thread.
        items: Any iterable, however long.
        clock: Seconds, never going back.
    """
    source = iter(items)
    for item in source:
        start = clock()
        result = work(item)
        took = clock() - start
        yield result
        if took > _WORTH_IT_S:
            break
    most = 2 * usable_cpus()
    waiting: deque[_Ahead[Item, Result]] = deque()
    try:
        for item in source:
            waiting.append(_Ahead(work, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()


class _Ahead(Generic[Item, Result]):
    """One item that another thread works on."""

    def __init__(self, work: Callable[[Item], Result], item: Item) -> None:
        self._done = threading.Lock()
        self._done.acquire()
        self._wanted = True
        self._results: list[Result] = []
        self._error: BaseException | None = None
        self._work, self._item = work, item
        preparers().submit(self._job)

    def _job(self) -> None:
        try:
            if self._wanted:
                self._results.append(self._work(self._item))
        except Exception as error:
            self._error = error
        finally:
            self._done.release()

    def result(self) -> Result:
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self._results.pop()

    def cancel(self) -> None:
        """Nobody wants it any more; what has begun ends by itself."""
        self._wanted = False
