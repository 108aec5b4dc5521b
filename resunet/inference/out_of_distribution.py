"""The out-of-distribution detector: does a slice look like those that stage 1 was trained on?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from resunet.errors import InputError
from resunet.model_folder import DETECTOR, ModelFolder

FloatVector = npt.NDArray[np.float32]
VECTORS = ("mean", "deviation", "weights")
CLIP = 8.0  # standard deviations, so that no single feature decides


@dataclass(frozen=True)
class OutOfDistributionDetector:
    """A linear discriminant between training slices and other pictures, on the texture that stage 1 sees.

    Attributes:
        mean, deviation: of the square roots of the features over the training slices, (1024,).
        weights: of the standardised features, (1024,).
        limit: score above which a picture counts as unlike the training slices; chosen on validation.
    """

    mean: FloatVector
    deviation: FloatVector
    weights: FloatVector
    limit: float

    @classmethod
    def of(cls, folder: ModelFolder) -> OutOfDistributionDetector | None:
        """As stored in a model folder; None where it is not. Raises InputError when the file is damaged."""
        arrays = folder.arrays(folder.path / DETECTOR)
        if arrays is None:
            return None
        try:
            mean, deviation, weights = (arrays[name].astype(np.float32) for name in VECTORS)
            return cls(mean, deviation, weights, float(arrays["limit"]))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{folder.path / DETECTOR} is damaged ({error}); run resunet tune again.") from None

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """What the model folder stores, in 6 kB."""
        halves = {name: np.asarray(getattr(self, name), np.float16) for name in VECTORS}
        return {**halves, "limit": np.array(self.limit)}

    def standardise(self, texture: FloatVector) -> FloatVector:
        """Features (..., 1024) >= 0 in standard deviations of the training slices, clipped."""
        return np.clip((np.sqrt(np.maximum(texture, 0)) - self.mean) / self.deviation, -CLIP, CLIP)

    def score(self, texture: FloatVector) -> npt.NDArray[np.float32]:
        """Scores (...) of features (..., 1024); the higher, the less like a training slice."""
        return np.asarray(self.standardise(texture) @ self.weights)
