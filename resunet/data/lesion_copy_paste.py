"""Lesion copy-paste: lesions moved from one slice into another, for more pairs of lesion and brain than the patients give.

In the spirit of CarveMix (Zhang et al., MICCAI 2021): a lesion with its surroundings replaces the same place of another
head. Here the seam is feathered and the lesion may fade, so that faint ones are seen too (our choices).
"""

from __future__ import annotations

import cv2
import numpy as np

from resunet.data.scan import BoolMask
from resunet.data.transforms import FloatImage

MARGIN = 4  # pixels around the lesion that come along, under the feathered seam
SKULL = 0.06  # share of the head's larger side taken for scalp and skull
INSIDE = 0.9  # share of the lesion that must lie inside the receiving brain
FLAIR = 1


def paste_lesion(
    image: FloatImage, mask: BoolMask, donor_image: FloatImage, donor_mask: BoolMask, strength: float
) -> tuple[FloatImage, BoolMask]:
    """Blend the donor's lesion into a slice, at the place it has in the donor.

    Args:
        image, donor_image: (H, W, 3) normalised slices of one size.
        mask, donor_mask: (H, W) bool.
        strength: weight of the donor's intensities inside the lesion, in (0, 1].

    Returns:
        The new slice and the union of the masks; the inputs themselves when the lesion would not lie inside the brain.
    """
    if not donor_mask.any() or np.count_nonzero(donor_mask & _brain(image)) < INSIDE * np.count_nonzero(donor_mask):
        return image, mask
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    region = cv2.dilate(donor_mask.astype(np.uint8), kernel).astype(np.float32)
    weight = strength * cv2.GaussianBlur(region, (0, 0), MARGIN / 2)[..., None]
    return np.asarray(image + weight * (donor_image - image), np.float32), mask | donor_mask


def _brain(image: FloatImage) -> BoolMask:
    """Convex hull of the bright part of FLAIR without a rim for scalp and skull: roughly where brain can be."""
    flair = image[..., FLAIR] - image[..., FLAIR].min()
    plane = (flair * (255 / max(float(flair.max()), 1e-6))).astype(np.uint8)
    level, _ = cv2.threshold(plane, 0, 255, cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours((plane > 0.7 * level).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = np.zeros(plane.shape, np.uint8)
    if outlines:
        largest = max(outlines, key=cv2.contourArea)
        cv2.fillConvexPoly(hull, cv2.convexHull(largest), 1)
        rim = max(3, int(SKULL * max(cv2.boundingRect(largest)[2:])))
        hull = cv2.erode(hull, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8))
    return hull.astype(bool)
