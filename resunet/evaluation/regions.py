"""Measurements of the mask: one row per connected component."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ["region", "area_px", "centroid_row", "centroid_column", "top", "left", "height", "width", "diameter_px"]
COLUMNS_MM = ["area_mm2", "diameter_mm"]


def measure_regions(mask: npt.NDArray[np.bool_], spacing: tuple[float, float] | None = None) -> pd.DataFrame:
    """The 8-connected regions of a mask (H, W), largest first.

    Args:
        spacing: millimetres between rows and between columns; adds area_mm2 and diameter_mm.

    Returns:
        Columns region (from 1), area_px, centroid_row, centroid_column, bounding box (top, left, height, width) and
        diameter_px, the largest distance between two pixels' outer corners along the region's hull, all in pixels.
    """
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    order = sorted(range(1, count), key=lambda label: -stats[label, cv2.CC_STAT_AREA])
    rows = []
    for number, label in enumerate(order, start=1):
        left, top, width, height, area = (int(value) for value in stats[label])
        region = labels[top : top + height, left : left + width] == label
        row: dict[str, float] = {
            "region": number,
            "area_px": area,
            "centroid_row": round(float(centroids[label, 1]), 1),
            "centroid_column": round(float(centroids[label, 0]), 1),
            "top": top,
            "left": left,
            "height": height,
            "width": width,
            "diameter_px": round(_diameter(region, (1.0, 1.0)), 1),
        }
        if spacing:
            row["area_mm2"] = round(area * spacing[0] * spacing[1], 1)
            row["diameter_mm"] = round(_diameter(region, spacing), 1)
        rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS + (COLUMNS_MM if spacing else []))


def _diameter(region: npt.NDArray[np.bool_], spacing: tuple[float, float]) -> float:
    """Largest distance between any two pixel corners of the region (its Feret diameter), in units of `spacing`."""
    rows, columns = np.nonzero(region)
    corners = np.concatenate(
        [np.column_stack([(columns + dx) * spacing[1], (rows + dy) * spacing[0]]) for dx in (0, 1) for dy in (0, 1)]
    )
    hull = cv2.convexHull(corners.astype(np.float32))[:, 0].astype(np.float64)
    return float(np.sqrt(((hull[:, None] - hull[None]) ** 2).sum(axis=-1)).max())
