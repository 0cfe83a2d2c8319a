"""The newest frame of a source that does not wait: a camera, a screen, a queue."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

from edgeinfer.errors import InputError

Frame = TypeVar("Frame")


class LatestFrames(Generic[Frame]):
    """Iterates over a source's frames, dropping those that came while the last one was worked on.

    A thread of its own takes frames as they come; at most one waits here, the newest. Made for
    `for frame in LatestFrames(camera): model.predict(frame)`: the answer is late by one prediction, never by a
    growing queue. Ends when the source ends, after its last frame; what the source raises is raised here, after
    the frame before it. Closing does not interrupt a source that blocks: its thread ends with its next frame.

    Attributes:
        taken: Frames that came from the source.
        dropped: Those of them that a newer one replaced.

    Args:
        source: Any iterable of frames.

    Raises:
        InputError: `source` cannot be iterated over.
    """

    def __init__(self, source: Iterable[Frame]) -> None:
        if not isinstance(source, Iterable):
            raise InputError("frames", found=type(source).__name__, expected="an iterable of frames")
        self.taken = 0
        self.dropped = 0
        self._changed = threading.Condition()
        self._waiting: list[Frame] = []
        self._ended = self._closed = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(
            target=self._take, args=(iter(source),), name="edgeinfer-frames", daemon=True
        )
        self._thread.start()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._ended or self._closed)
            if self._waiting and not self._closed:
                return self._waiting.pop()
            if self._error is not None and not self._closed:
                error, self._error = self._error, None
                raise error
        raise StopIteration

    def close(self) -> None:
        """Take no more frames."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def __enter__(self) -> LatestFrames[Frame]:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, source: Iterator[Frame]) -> None:
        try:
            for frame in source:
                with self._changed:
                    if self._closed:
                        break
                    self.taken += 1
                    self.dropped += len(self._waiting)
                    self._waiting = [frame]
                    self._changed.notify()
        except BaseException as error:
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()
