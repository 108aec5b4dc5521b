"""Kinds of tumours, and what they do to each sequence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from resunet.simulation.masses import Site
from resunet.simulation.template import FloatVoxels

WHITE_FLAIR = 0.5  # of normal white matter
FLUID = np.array([0.2, 0.06, 0.2], np.float32)  # pre-contrast, FLAIR, post-contrast
Range = tuple[float, float]


@dataclass(frozen=True)
class Tumour:
    """Ranges for one kind of tumour.

    Attributes:
        millilitres: its volume before it pushes the brain aside.
        contrast: FLAIR above white matter, as a share of it.
        enhancing: how often contrast agent shows in a rim.
        push: mass effect, as a share of the distance from its middle by which tissue moves away.
        is_diffuse: it brightens what is there instead of replacing it.
        is_hollow: a cavity takes the place of its middle.
        site: where it starts.
        is_core: its mask is the enhancing rim with what lies within, as on contrast-enhanced T1, not the FLAIR abnormality.
    """

    millilitres: Range
    contrast: Range
    enhancing: float = 0.0
    push: Range = (0.0, 0.15)
    is_diffuse: bool = False
    is_hollow: bool = False
    site: Site = "white matter"
    is_core: bool = False

    @property
    def is_solid(self) -> bool:
        """Whether it is a mass with a sharp edge, which takes up contrast agent evenly."""
        return self.site != "white matter"


KINDS: dict[str, Tumour | None] = {
    "typical": Tumour((16, 36), (0.65, 1.1), enhancing=0.3, push=(0.1, 0.25)),
    "large": Tumour((60, 95), (0.65, 1.1), enhancing=0.5, push=(0.15, 0.3)),
    "small": Tumour((0.5, 1.3), (0.6, 1.0)),
    "faint": Tumour((12, 30), (0.25, 0.4), is_diffuse=True),
    "cavity": Tumour((25, 50), (0.6, 0.9), push=(-0.05, 0.05), is_hollow=True),
    "none": None,
}
# Of contrast-enhanced T1.
T1CE_KINDS: dict[str, Tumour | None] = {
    "meningioma_convexity": Tumour((12, 40), (0.6, 0.9), push=(0.1, 0.2), site="convexity"),
    "meningioma_falx": Tumour((8, 25), (0.6, 0.9), push=(0.05, 0.15), site="falx"),
    "meningioma_sphenoid": Tumour((10, 25), (0.6, 0.9), push=(0.05, 0.15), site="sphenoid"),
    "glioma": Tumour((35, 70), (0.5, 0.8), enhancing=1.0, push=(0.1, 0.2), is_core=True),
    "pituitary": Tumour((4, 10), (0.4, 0.7), push=(0.0, 0.1), site="sella"),
    "no_tumour": None,
}


@dataclass(frozen=True)
class Look:
    """One tumour's place within its kind's ranges."""

    tumour: Tumour
    contrast: float
    enhances: bool

    def paint(self, sequences: FloatVoxels, t1: FloatVoxels, density: FloatVoxels, texture: FloatVoxels) -> FloatVoxels:
        """Change the sequences (3, ...) of healthy tissue in place; returns the mask of the FLAIR abnormality (...), 0 or 1.

        Args:
            t1: of healthy tissue, 1 in white matter; fluid stays fluid.
            density: of tumour cells, in [0, 1].
            texture: noise about 0.
        """
        pre, flair, post = sequences
        if self.tumour.is_solid:
            share = _smooth_step(density, 0.2, 0.8)
            for sequence, signal in ((pre, 0.5), (flair, 0.6), (post, 0.6 * (1 + self.contrast))):
                sequence += share * (signal * (1 + 0.06 * texture) - sequence)
            return np.asarray(share > 0.5, np.float32)
        share = _smooth_step(density, 0.15, 0.85) * np.clip((t1 - 0.35) / 0.25, 0, 1)
        if self.tumour.is_diffuse:
            flair *= 1 + self.contrast * share * (1 + 0.15 * texture)
        else:
            level = WHITE_FLAIR * (1 + self.contrast) * (1 + 0.07 * texture)
            flair += share * (0.75 * np.maximum(level, flair) + 0.25 * flair * (1 + self.contrast) - flair)
        for sequence in (pre, post):
            sequence *= 1 - 0.25 * self.contrast * share * (1 + 0.1 * texture)
        if self.enhances:
            rim = _smooth_step(density, 0.95, 0.985) * (1 - _smooth_step(density, 0.99, 0.9995))
            post += 0.4 * rim * share * np.clip(0.6 + texture, 0, 1.3)
        mask = share > 0.5
        if self.tumour.is_core:
            core = _smooth_step(density, 0.99, 0.9995)
            post += rim * share * 0.35 - core * 0.45 * post
            mask = np.asarray(_smooth_step(density, 0.95, 0.985) * share > 0.5)
        if self.tumour.is_hollow:
            hole = _smooth_step(density, 0.985, 0.999) * np.clip((t1 - 0.1) / 0.2, 0, 1)
            sequences += hole * (FLUID.reshape(3, *[1] * t1.ndim) - sequences)
            mask &= hole < 0.5
        return mask.astype(np.float32)


def _smooth_step(values: FloatVoxels, low: float, high: float) -> FloatVoxels:
    """0 up to `low`, 1 from `high`, without corners."""
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)
