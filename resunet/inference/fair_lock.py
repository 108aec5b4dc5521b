"""A lock that is handed over first come, first served, and tells those who wait how many are before them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resunet.errors import InputError

CHECK_SECONDS = 0.5  # between two calls of `on_wait`
OnWait = Callable[[int], None]


class FairLock:
    """One thread at a time; the others stand in line, up to a limit. A thread that holds the lock may take it again.

    Args:
        limit: how many threads may hold or wait for the lock together.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._line: deque[int] = deque()  # identifiers of threads; the first one holds the lock
        self._moved = threading.Condition()

    @property
    def length(self) -> int:
        """Threads that hold the lock or wait for it."""
        return len(self._line)

    @contextmanager
    def hold(self, on_wait: OnWait | None = None) -> Iterator[None]:
        """Hold the lock for the block.

        Args:
            on_wait: called with the number of threads ahead, at once and twice a second; an exception it raises gives the
                place up.

        Raises:
            InputError: the line is full.
        """
        thread = threading.get_ident()
        with self._moved:
            holds_it = thread in self._line  # only the holder gets here a second time
            if not holds_it and len(self._line) >= self.limit:
                raise InputError(f"Too many requests are waiting ({len(self._line)}); try again in a minute.")
            if not holds_it:
                self._line.append(thread)
        if holds_it:
            yield
            return
        try:
            while ahead := self._ahead_of(thread):
                if on_wait is not None:
                    on_wait(ahead)
                with self._moved:
                    self._moved.wait_for(lambda: self._line[0] == thread, CHECK_SECONDS)
            yield
        finally:
            with self._moved:
                self._line.remove(thread)
                self._moved.notify_all()

    def _ahead_of(self, thread: int) -> int:
        with self._moved:
            return self._line.index(thread)
