"""A sequence of slices through a network that sees neighbours: windows with a halo, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from resunet.data.transforms import FloatImage

ROUNDED = 4
WINDOW = 24  # slices that such a network is given at once, the halo on both sides among them; 13 MB each


def window_length(count: int, halo: int, most: int) -> int:
    """Slices of a window: the fewest that `count` slices need in as few windows as `most` slices allow.

    All windows of a sequence are of one length, because a network is compiled for each; rounded up, so that sequences of
    nearly the same length share it.
    """
    if count <= most:
        return count
    windows = -(-(count - 2 * halo) // (most - 2 * halo))
    fewest = -(-(count + 2 * halo * (windows - 1)) // windows)
    return min(-(-fewest // ROUNDED) * ROUNDED, most)


def in_windows(
    slices: Iterable[FloatImage], count: int, run: Callable[[FloatImage], FloatImage], halo: int, most: int
) -> Iterator[FloatImage]:
    """What `run` makes of each of `count` slices, as if it had been given all of them at once.

    Args:
        slices: read as they are needed; at most `most` are held.
        run: (N, ...) to (N, ...), N <= most; row n depends on rows n - halo to n + halo.
        halo: 0 for a network that sees one slice at a time.
        most: slices of a window; more than twice the halo.
    """
    length = window_length(count, halo, most)
    window: list[FloatImage] = []
    done = 0  # slices whose results are out
    for read, each in enumerate(slices, start=1):
        window = [*window[-length + 1 :], each] if length > 1 else [each]
        start = read - length
        is_last = read == count
        if start == max(0, done - halo) or is_last:
            stop = count if is_last else read - halo
            yield from run(np.stack(window))[done - start : stop - start]
            done = stop
