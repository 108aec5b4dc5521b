"""Pictures of a slice with its masks and maps: windowing, outline, fill, heat, hits and misses. RGB uint8 in and out."""

from __future__ import annotations

import base64

import cv2
import numpy as np
import numpy.typing as npt

from resunet.reading.scan import BoolMask

Picture = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

# Okabe and Ito's colours, told apart by colour-blind eyes.
PREDICTED: Colour = (230, 159, 0)
TRUTH: Colour = (86, 180, 233)
HIT: Colour = (0, 158, 115)
MISS: Colour = (86, 180, 233)
FALSE_POSITIVE: Colour = (204, 51, 153)

FLAIR = 1  # its channel
JPEG_QUALITY = 90
HEAD = 0.08  # share of the brightest above which a pixel is tissue


def render(image: npt.NDArray[np.generic], size: int) -> Picture:
    """FLAIR of a slice (H, W, 3) as an RGB picture whose longer side is `size` pixels, black to white as in `channels`."""
    shown = _windowed(np.asarray(image[..., FLAIR], np.float32))
    return _resize(np.repeat(shown[..., None], 3, axis=2), size, cv2.INTER_CUBIC)


def channels(image: npt.NDArray[np.generic]) -> Picture:
    """All channels of a slice (H, W, 3), each from its 0.5th to its 99.8th percentile: uint8."""
    return np.stack([_windowed(np.asarray(image[..., plane], np.float32)) for plane in range(3)], axis=-1)


def head_mask(image: npt.NDArray[np.generic]) -> BoolMask:
    """Where the head is in a slice (H, W, 3), its dark parts included: (H, W)."""
    plane = cv2.GaussianBlur(np.asarray(image[..., FLAIR], np.float32), (0, 0), 2)
    tissue = plane - plane.min() > HEAD * (np.percentile(plane, 99) - plane.min())
    outlines, _ = cv2.findContours(tissue.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = cv2.drawContours(np.zeros(plane.shape, np.uint8), outlines, -1, 1, cv2.FILLED)
    return np.asarray(filled > 0)


def _windowed(plane: npt.NDArray[np.float32]) -> Picture:
    low, high = np.percentile(plane, (0.5, 99.8))
    return np.clip((plane - low) / max(float(high - low), 1e-6) * 255, 0, 255).astype(np.uint8)


def shrink(picture: Picture, size: int) -> Picture:
    """A uint8 picture, grey or RGB, whose longer side becomes `size` pixels."""
    return _resize(picture, size, cv2.INTER_AREA)


def _resize(picture: Picture, size: int, method: int) -> Picture:
    scale = size / max(picture.shape[:2])
    target = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return np.asarray(cv2.resize(picture, target, interpolation=method), np.uint8)


def heat_over(picture: Picture, values: npt.NDArray[np.float32], opacity: float) -> Picture:
    """The picture (h, w, 3) with values (H, W) in [0, 1] over it as heat, the more the higher; `opacity` 1 covers it."""
    colours, share = heat(values, picture.shape[1], picture.shape[0])
    return _blend(picture, colours, np.minimum(share * 1.5, 1.0) * opacity)


def outline(picture: Picture, mask: BoolMask, colour: Colour) -> Picture:
    """The picture with a line around the mask's components, about 1/250 of the picture wide."""
    line = np.zeros(picture.shape[:2], np.uint8)
    contours, _ = cv2.findContours(_fit(mask, picture), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(line, contours, -1, 255, max(1, round(picture.shape[0] / 250)), cv2.LINE_AA)
    return _blend(picture, np.broadcast_to(np.array(colour, np.uint8), picture.shape), line / 255.0)


def heat(values: npt.NDArray[np.float32], width: int, height: int) -> tuple[Picture, npt.NDArray[np.float32]]:
    """Values (H, W) in [0, 1] as inferno colours (height, width, 3), and the enlarged values themselves."""
    enlarged = np.clip(cv2.resize(values, (width, height), interpolation=cv2.INTER_LINEAR), 0, 1)
    colours = cv2.applyColorMap((enlarged * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(colours[..., ::-1], np.uint8), np.asarray(enlarged, np.float32)


def error_map(picture: Picture, predicted: BoolMask, truth: BoolMask, opacity: float = 0.75) -> Picture:
    """The picture dimmed, with hits, misses and false positives filled in HIT, MISS and FALSE_POSITIVE."""
    result = (picture * 0.7).astype(np.uint8)
    for pixels, colour in ((predicted & truth, HIT), (truth & ~predicted, MISS), (predicted & ~truth, FALSE_POSITIVE)):
        inside = _fit(pixels, picture) * opacity
        result = _blend(result, np.broadcast_to(np.array(colour, np.uint8), picture.shape), inside)
    return result


def _fit(mask: BoolMask, picture: Picture) -> Picture:
    size = (picture.shape[1], picture.shape[0])
    return np.asarray(cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST), np.uint8)


def _blend(below: Picture, above: Picture, share: npt.NDArray[np.floating]) -> Picture:
    """`above` over `below`, both (h, w, 3), by `share` (h, w) in [0, 1]; most pixels have none and are left alone."""
    touched = share > 0
    weight = share[touched][:, None]
    result = below.copy()
    result[touched] = (below[touched] * (1 - weight) + above[touched] * weight).astype(np.uint8)
    return result


def encode_png(picture: Picture) -> bytes:
    """An RGB or grey uint8 picture as PNG bytes."""
    stored = picture[..., ::-1] if picture.ndim == 3 else picture
    return cv2.imencode(".png", np.ascontiguousarray(stored), [cv2.IMWRITE_PNG_COMPRESSION, 3])[1].tobytes()


def jpeg_uri(picture: Picture) -> str:
    """An RGB picture (h, w, 3) as a JPEG in a data URI, for pages that draw it."""
    stored = np.ascontiguousarray(picture[..., ::-1])
    content = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1].tobytes()
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"
