"""Where model folders come from: an explicit path, or a name under the bundled weights/."""

from __future__ import annotations

from pathlib import Path

from resunet.artifacts import REPOSITORY, ModelFolder
from resunet.errors import InputError

WEIGHTS = REPOSITORY / "weights"
FLAGSHIP = "resunet_deep"  # the ResUNet that won on validation
STAGE_1 = "resnet50"


def find_model(name: str | Path, weights: Path | None = None) -> ModelFolder:
    """The model folder `name`: a path to one, or the name of one under `weights`.

    Raises:
        InputError: neither is there; the message lists the names that are.
    """
    if (Path(name) / "config.json").exists():
        return ModelFolder(Path(name))
    weights = weights or WEIGHTS
    folder = ModelFolder(weights / str(name))
    if not folder.config_path.exists():
        known = ", ".join(list_models(weights)) or "none"
        raise InputError(f"There is no model '{name}'; give a model folder or one of those bundled in {weights} ({known}).")
    return folder


def list_models(weights: Path | None = None) -> list[str]:
    """Names of the model folders under `weights`, sorted."""
    return sorted(path.parent.name for path in (weights or WEIGHTS).glob("*/config.json"))
