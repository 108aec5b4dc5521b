"""A queue around what only one visitor at a time can have, first come, first served."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from resunet.errors import InputError

CHECK = 0.5  # seconds between two looks at whether who waits is still there


class Turns:
    """One holder at a time; everybody else waits in line, up to a limit.

    Args:
        limit: how many may stand in line, the holder included.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._line: deque[object] = deque()
        self._moved = threading.Condition()

    @contextmanager
    def take(self, waiting: Callable[[int], None]) -> Iterator[None]:
        """Wait for a turn, and hold it for the block.

        Args:
            waiting: called with how many are before, at once and whenever that may have changed; what it raises gives the
                place up.

        Raises:
            InputError: the line is full.
        """
        ticket = object()
        with self._moved:
            if len(self._line) >= self.limit:
                raise InputError(f"Too many visitors are waiting ({len(self._line)}); try again in a minute.")
            self._line.append(ticket)
        try:
            while ahead := self._line.index(ticket):
                waiting(ahead)
                with self._moved:
                    self._moved.wait_for(lambda: self._line.index(ticket) < ahead, CHECK)
            yield
        finally:
            with self._moved:
                self._line.remove(ticket)
                self._moved.notify_all()
