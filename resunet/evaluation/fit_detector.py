"""Fit the out-of-distribution detector: training slices against pictures that are not slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression

from resunet.data.outliers import KINDS
from resunet.data.slices import Slice
from resunet.data.transforms import FloatImage, has_few_levels, normalise
from resunet.files import write_arrays
from resunet.inference.out_of_distribution import OutOfDistributionDetector
from resunet.inference.stages import Stage1
from resunet.model_folder import DETECTOR, ModelFolder

PICTURES = 6000
SHARES = {"inverted": 0.1, "ct_like": 0.2, "speckle": 0.2, "leaves": 0.5}  # of the pictures, by kind
SEED = 2025
PENALTY = 0.3  # inverse strength of the L2 penalty
PERCENTILE = 99  # of validation slices that shall count as familiar


def fit_detector(
    folder: ModelFolder, train: Sequence[Slice], val: Sequence[Slice], pictures: int = PICTURES
) -> OutOfDistributionDetector:
    """Fit the discriminant, set its limit on validation, and write it into the model folder."""
    stage_1 = Stage1(folder)
    rng = np.random.default_rng(SEED)
    slices = _informative_images(train)
    kinds = [make for kind, make in KINDS.items() for _ in range(round(SHARES[kind] * pictures))]
    others = (make(slices[rng.integers(len(slices))], rng) for make in kinds)
    known, unknown = textures(stage_1, slices), textures(stage_1, others)
    roots = np.sqrt(known)
    deviation = roots.std(axis=0)
    start = OutOfDistributionDetector(roots.mean(axis=0), deviation + 0.01 * deviation.mean(), np.zeros_like(deviation), 0.0)
    features = start.standardise(np.concatenate((known, unknown)))
    labels = np.repeat((0, 1), (len(known), len(unknown)))
    fitted = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=2000).fit(features, labels)
    unlimited = replace(start, weights=np.asarray(fitted.coef_[0], np.float32))
    limit = float(np.percentile(unlimited.score(textures(stage_1, _informative_images(val))), PERCENTILE))
    detector = replace(unlimited, limit=limit)
    write_arrays(folder.path / DETECTOR, detector.arrays())
    return detector


def _informative_images(records: Sequence[Slice]) -> list[npt.NDArray[np.generic]]:
    """The slices that show more than noise."""
    return [image for image in (record.image() for record in records) if not has_few_levels(image)]


def textures(stage_1: Stage1, images: Iterable[npt.NDArray[np.generic]]) -> FloatImage:
    """Features (N, 1024) of slices (H, W, 3) as stored."""
    return np.stack([stage_1.outputs(normalise(image))[2] for image in images])
