"""Results kept for all visitors, bounded by what they weigh and not by how many there are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from cachetools import LRUCache

T = TypeVar("T")


class Kept(Generic[T]):
    """Results by key until they weigh too much together; what was asked for least recently goes first. Thread-safe.

    A result is shared by everybody who asks for it and must not be changed.

    Args:
        limit: bytes that all results together may take.
        weigh: bytes that a result takes.
    """

    def __init__(self, limit: int, weigh: Callable[[T], int]) -> None:
        self._results: LRUCache[Hashable, T] = LRUCache(limit, weigh)
        self._lock = threading.Lock()

    @property
    def weight(self) -> float:
        """Bytes that are kept now."""
        return self._results.currsize

    def get(self, key: Hashable) -> T | None:
        """The result, or None."""
        with self._lock:
            return self._results.get(key)

    def put(self, key: Hashable, result: T) -> T:
        """Keep the result, unless it alone is too heavy; returns it."""
        with self._lock:
            if self._results.getsizeof(result) <= self._results.maxsize:
                self._results[key] = result
        return result
