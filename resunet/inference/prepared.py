"""Predictions of the bundled sample volumes, made beforehand, so that the app shows them at once.

A file is named after the weights of both stages and the sample's voxels: where one of them changes, it is not found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from resunet.files import write_arrays
from resunet.inference.pipeline import TumourPipeline
from resunet.inference.volume_pipeline import VolumePrediction
from resunet.model_folder import WEIGHTS_FILE, ModelFolder
from resunet.reading.volume_scan import Volume

FOLDER = "prepared"  # in the folder of stage 2
LEAST = 0.02  # lower probabilities are kept as 0; no threshold on a screen is as low


def prepared_path(folder: ModelFolder, pipeline: TumourPipeline, key: Sequence[str]) -> Path:
    """Where the prediction of the examination of this key lies, if it was made with these weights."""
    stages = [stage.config.sha256.get(WEIGHTS_FILE, "") for stage in (pipeline.stage_1, pipeline.stage_2) if stage]
    return folder.path / FOLDER / f"{hashlib.sha256(' '.join([*stages, *key]).encode()).hexdigest()[:16]}.npz"


def write_prepared(path: Path, prediction: VolumePrediction) -> None:
    """Keep what the networks gave."""
    path.parent.mkdir(exist_ok=True)
    probability = np.where(prediction.probability < LEAST, np.float16(0), prediction.probability)
    arrays = {"probability": probability, "p_tumour": prediction.p_tumour, "unlike_training": prediction.unlike_training}
    write_arrays(path, {**arrays, "notes": np.array(prediction.notes, dtype=str)})


def read_prepared(path: Path, pipeline: TumourPipeline, volume: Volume) -> VolumePrediction | None:
    """The prediction of `volume` with the pipeline's thresholds, or None where none was made beforehand."""
    if not path.exists():
        return None
    with np.load(path) as kept:
        return VolumePrediction(
            volume,
            kept["probability"],
            kept["p_tumour"],
            kept["unlike_training"],
            pipeline.gate,
            pipeline.threshold,
            pipeline.clean_up,
            pipeline.stage_1_threshold,
            tuple(kept["notes"].tolist()),
        )
