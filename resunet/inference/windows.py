"""A sequence of slices through a network that sees neighbours: windows with a halo, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from resunet.data.transforms import FloatImage

WINDOW = 32  # slices that such a network is given at once, the halo on both sides among them


def in_windows(
    slices: Iterable[FloatImage], run: Callable[[FloatImage], FloatImage], halo: int, length: int
) -> Iterator[FloatImage]:
    """What `run` makes of each slice, as if it had been given all of them at once.

    Args:
        slices: read as they are needed; at most `length` are held.
        run: (N, ...) to (N, ...), N <= length; row n depends on rows n - halo to n + halo.
        halo: 0 for a network that sees one slice at a time.
        length: more than twice the halo.
    """
    window: list[FloatImage] = []
    done = 0  # slices at the window's start whose results are out already; they are the halo of the others
    for each in slices:
        window.append(each)
        if len(window) == length:
            yield from run(np.stack(window))[done : length - halo]
            window, done = window[length - 2 * halo :], halo
    if len(window) > done:
        yield from run(np.stack(window))[done:]
