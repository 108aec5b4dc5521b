"""Made-up pictures that are no MRI slices, to teach stage 1's detector what it has not been trained on.

Inverted slices and CT-like heads are made of slices, speckle and dead leaves (Lee, Mumford and Huang, IJCV 2001: leaves of
random size and shade that cover each other have the statistics of photographs) of nothing but random numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

SIDE = 256
PANES = ((1, 2), (2, 1), (2, 2), (1, 3), (2, 3), (3, 3), (3, 4), (4, 5))  # rows and columns
FloatPicture = npt.NDArray[np.float32]


def inverted(image: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """The negative of a slice (H, W, 3), all channels or FLAIR alone."""
    pixels = np.asarray(image, np.float32)
    chosen = pixels if rng.random() < 0.5 else _grey(pixels[..., 1])
    return chosen.max() - chosen


def ct_like(image: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """A head of a slice's outline with a saturated skull and hardly any contrast inside, (H, W, 3)."""
    smooth = cv2.GaussianBlur(np.asarray(image[..., 1], np.float32), (0, 0), 3)
    bright = (smooth > rng.uniform(0.05, 0.1) * float(np.percentile(smooth, 99))).astype(np.uint8)
    head = cv2.morphologyEx(bright, cv2.MORPH_CLOSE, np.ones((25, 25), np.uint8))
    depth = cv2.distanceTransform(np.asarray(head, np.uint8), cv2.DIST_L2, 5)
    skin, skull = rng.uniform(2, 5), rng.uniform(4, 10)
    inside = depth >= skin + skull
    plane = np.where(depth > 0, rng.uniform(20, 60), 0) + np.where(inside, rng.uniform(40, 80), 0)
    if inside.any():
        plane = plane + inside * (smooth - smooth[inside].mean()) * rng.uniform(0, 0.15)
    plane = plane + rng.normal(0, rng.uniform(1, 6), plane.shape) * (depth > 0)
    plane[(depth > skin) & ~inside] = 255
    return _grey(np.clip(plane, 0, 255))


def speckle(_: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """Multiplicative noise of random grain with dark and bright regions, in a sector or all over, (SIDE, SIDE, 3)."""
    grain = rng.rayleigh(1.0, (int(rng.integers(32, 200)),) * 2)
    fine = rng.rayleigh(1.0, (SIDE, SIDE)) ** rng.uniform(0, 1)
    plane = np.abs(cv2.resize(grain, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) * fine)
    plane = plane * np.exp(rng.uniform(0.2, 0.9) * _clouds(2.0, rng))
    if rng.random() < 0.6:
        rows, columns = np.mgrid[:SIDE, :SIDE]
        top = rng.uniform(10, 60)
        across, along = columns - SIDE / 2, rows + top
        sector = np.abs(np.arctan2(across, along)) < rng.uniform(0.4, 0.9)
        plane = plane * (sector & (np.hypot(across, along) < SIDE + top / 2))
    return _grey(plane)


def leaves(_: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """Overlapping ellipses and polygons with shading and fine texture, grey or coloured, (SIDE, SIDE, 3)."""
    picture = np.empty((SIDE, SIDE, 3), np.float32)
    picture[:] = rng.uniform(0, 255, 3)
    is_grey = rng.random() < 0.5
    for _leaf in range(int(rng.integers(5, 300))):
        size = min(100.0, 6 / rng.uniform(0.02, 1))
        centre = rng.integers(0, SIDE, 2)
        leaf = np.zeros((SIDE, SIDE), np.uint8)
        if rng.random() < 0.5:
            axes = int(size) + 1, int(size * rng.uniform(0.3, 1)) + 1
            cv2.ellipse(leaf, centre.tolist(), axes, rng.uniform(0, 180), 0, 360, 1, -1)
        else:
            cv2.fillPoly(leaf, [(centre + rng.normal(0, size, (int(rng.integers(3, 8)), 2))).astype(np.int32)], (1,))
        picture[leaf > 0] = rng.uniform(0, 255, 3)
    texture = 10 * rng.uniform(0, 3) * _clouds(rng.uniform(0.5, 2.5), rng)
    shaded = np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.3 * 60 ** rng.random()), np.float32) + texture[..., None]
    return _grey(shaded.mean(axis=2)) if is_grey else np.asarray(shaded, np.float32)


def panes(images: Sequence[npt.NDArray[np.generic]], rng: np.random.Generator) -> FloatPicture:
    """Slices side by side, two to twenty of them, with or without gaps and frames, (H, W, 3)."""
    rows, columns = PANES[int(rng.integers(len(PANES)))]
    side, gap = SIDE // max(rows, columns), int(rng.integers(0, 6))
    channel = int(rng.integers(3))
    sheet = np.full((rows * (side + gap), columns * (side + gap)), rng.choice([0.0, 0.0, 60.0, 255.0]), np.float32)
    for at in range(rows * columns):
        tile = cv2.resize(_eight_bits(images[at % len(images)][..., channel]), (side, side), interpolation=cv2.INTER_AREA)
        top, left = at // columns * (side + gap), at % columns * (side + gap)
        sheet[top : top + side, left : left + side] = tile
    return _grey(sheet)


def film(image: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """A photograph of a film with the slice, held before a light box, (SIDE, SIDE, 3)."""
    plane = _eight_bits(image[..., int(rng.integers(3))])
    margin = int(rng.integers(10, 60))
    sheet = cv2.copyMakeBorder(plane, margin, margin, margin, margin, cv2.BORDER_CONSTANT, value=float(rng.uniform(0, 40)))
    side = sheet.shape[0]
    corners = np.array([[0, 0], [side, 0], [side, side], [0, side]], np.float32)
    shift = rng.uniform(0.04, 0.2) * SIDE
    place = np.array([[shift, shift], [SIDE - shift, shift], [SIDE - shift, SIDE - shift], [shift, SIDE - shift]])
    to = (place + rng.uniform(-0.06, 0.06, (4, 2)) * SIDE).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(corners, to)
    light = rng.uniform(170, 255) + 12 * _clouds(2.0, rng)
    inside = cv2.warpPerspective(np.ones_like(sheet), matrix, (SIDE, SIDE))
    shown = cv2.warpPerspective(sheet, matrix, (SIDE, SIDE)) * rng.uniform(0.5, 0.9) + rng.uniform(0, 40)
    photograph = np.where(inside > 0.5, shown, light)
    blurred = cv2.GaussianBlur(photograph.astype(np.float32), (0, 0), float(rng.uniform(0.4, 1.2)))
    return _grey(np.clip(blurred + rng.normal(0, 4, blurred.shape), 0, 255))


def screenshot(image: npt.NDArray[np.generic], rng: np.random.Generator) -> FloatPicture:
    """A viewer's window: bars, panels, lines of text, and a small slice or none, (SIDE, SIDE, 3)."""
    window = np.full((SIDE, SIDE), rng.choice([20, 60, 235, 250]), np.uint8)
    ink = 255 - int(window[0, 0])
    for _ in range(int(rng.integers(2, 6))):
        top, left = rng.integers(0, SIDE - 30, 2).tolist()
        size = rng.integers(12, SIDE // 2, 2).tolist()
        cv2.rectangle(
            window, (left, top), (left + size[0], top + size[1]), float(rng.uniform(0, 255)), int(rng.choice([-1, 1]))
        )
    if rng.random() < 0.6:
        side = int(rng.integers(60, 130))
        top, left = rng.integers(0, SIDE - side, 2).tolist()
        plane = _eight_bits(image[..., int(rng.integers(3))])
        window[top : top + side, left : left + side] = cv2.resize(plane, (side, side), interpolation=cv2.INTER_AREA)
    for _ in range(int(rng.integers(5, 30))):
        words = "".join(chr(letter) for letter in rng.integers(97, 123, int(rng.integers(3, 14))))
        place = (int(rng.integers(0, SIDE - 40)), int(rng.integers(8, SIDE)))
        cv2.putText(window, words, place, cv2.FONT_HERSHEY_SIMPLEX, float(rng.uniform(0.25, 0.5)), ink, 1, cv2.LINE_AA)
    return _grey(np.asarray(window, np.float32))


def _eight_bits(plane: npt.NDArray[np.generic]) -> FloatPicture:
    values = np.asarray(plane, np.float32)
    low, high = np.percentile(values, (0.5, 99.5))
    return np.asarray(np.clip((values - low) / max(float(high - low), 1e-6) * 255, 0, 255), np.float32)


KINDS: dict[str, Callable[[npt.NDArray[np.generic], np.random.Generator], FloatPicture]] = {
    "inverted": inverted,
    "ct_like": ct_like,
    "speckle": speckle,
    "leaves": leaves,
}


def _clouds(power: float, rng: np.random.Generator) -> FloatPicture:
    """Noise (SIDE, SIDE) of mean 0 and variance 1 whose spectrum falls with the frequency to the given power."""
    frequency = np.hypot(np.fft.fftfreq(SIDE)[:, None], np.fft.rfftfreq(SIDE)[None])
    frequency[0, 0] = 1
    spectrum = np.fft.rfft2(rng.normal(size=(SIDE, SIDE))) / frequency**power
    spectrum[0, 0] = 0
    plane = np.fft.irfft2(spectrum, (SIDE, SIDE))
    return (plane / plane.std()).astype(np.float32)


def _grey(plane: npt.NDArray[np.floating]) -> FloatPicture:
    return np.repeat(plane.astype(np.float32)[..., None], 3, axis=2)
