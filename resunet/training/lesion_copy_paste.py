"""Lesion copy-paste: lesions moved from one slice into another, for more pairs of lesion and brain than the patients give.

In the spirit of CarveMix (Zhang et al., MICCAI 2021): a lesion with its surroundings replaces the same place of another
head. Here the seam is feathered and the lesion may fade, so that faint ones are seen too (our choices).
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from torch import Tensor

from resunet.reading.scan import BoolMask

MARGIN = 4  # pixels around the lesion that come along, under the feathered seam
SKULL = 0.06  # share of the head's larger side taken for scalp and skull
INSIDE = 0.9  # share of the lesion that must lie inside the receiving brain
FLAIR = 1


def paste_lesions(
    images: Tensor, masks: Tensor, brains: Tensor, donor_images: Tensor, donor_masks: Tensor, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Blend donors' lesions into slices, each at the place it has in its donor.

    Args:
        images, donor_images: (B, 3, H, W) normalised slices.
        masks, donor_masks: (B, 1, H, W) of 0 and 1.
        brains: (B, 1, H, W) of 0 and 1, from `brain_mask`.
        weights: (B, 1, H, W) in [0, 1], from `feathered`, times the strength of each donor's intensities.

    Returns:
        The new slices and the unions of the masks; a slice stays as it is where the lesion would not lie inside its brain.
    """
    inside = (donor_masks * brains).sum(dim=(1, 2, 3)) >= INSIDE * donor_masks.sum(dim=(1, 2, 3))
    fits = (inside & donor_masks.flatten(1).any(dim=1)).to(images.dtype)[:, None, None, None]
    return images + fits * weights * (donor_images - images), masks.maximum(fits * donor_masks)


def feathered(mask: BoolMask) -> npt.NDArray[np.float32]:
    """Weight of a lesion's intensities, (H, W) in [0, 1]: the mask (H, W) with its margin and soft rims."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * MARGIN + 1, 2 * MARGIN + 1))
    region = cv2.dilate(mask.astype(np.uint8), kernel).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(region, (0, 0), MARGIN / 2), np.float32)


def brain_mask(image: npt.NDArray[np.floating]) -> BoolMask:
    """Convex hull (H, W) of the bright part of FLAIR without a rim for scalp and skull: roughly where brain can be."""
    flair = np.asarray(image[..., FLAIR], np.float32)
    flair = flair - flair.min()
    plane = (flair * (255 / max(float(flair.max()), 1e-6))).astype(np.uint8)
    level, _ = cv2.threshold(plane, 0, 255, cv2.THRESH_OTSU)
    outlines, _ = cv2.findContours((plane > 0.7 * level).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    hull = np.zeros(plane.shape, np.uint8)
    if outlines:
        largest = max(outlines, key=cv2.contourArea)
        cv2.fillConvexPoly(hull, cv2.convexHull(largest), (1,))
        rim = max(3, int(SKULL * max(cv2.boundingRect(largest)[2:])))
        hull = np.asarray(cv2.erode(hull, np.ones((2 * rim + 1, 2 * rim + 1), np.uint8)), np.uint8)
    return hull.astype(bool)
