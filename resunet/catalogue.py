"""Which models there are and where each lies: an explicit path, the bundled weights/, the Hub's cache at a pinned commit."""

from __future__ import annotations

import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from resunet.errors import InputError
from resunet.files import atomic_folder
from resunet.hub import Pin, Progress, cached, fetch, pins
from resunet.model_folder import CONFIG_FILE, REPOSITORY, ModelConfig, ModelFolder

WEIGHTS = REPOSITORY / "weights"
STUDIES = "studies"  # folder under WEIGHTS for ablations, which keep their evidence and no weights
FLAGSHIP = "resunet_lite"  # the segmentation model with the best validation figures
VOLUME_MODEL = "resunet_lite_3d"  # sees the neighbouring slices
STAGE_1 = "resnet50"
T1CE_MODEL = "resunet_lite_t1ce"  # outlines tumours on contrast-enhanced T1 and says which kind they are


def find_model(name: str | Path, weights: Path | None = None) -> ModelFolder:
    """The model folder `name`: a path to one, the name of one under `weights`, or a pinned one that is in the cache.

    Raises:
        InputError: none is there; the message lists the names that are, or says how to fetch a pinned one.
    """
    if (Path(name) / CONFIG_FILE).exists():
        return ModelFolder(Path(name))
    weights = weights or WEIGHTS
    for folder in (ModelFolder(weights / str(name)), ModelFolder(weights / STUDIES / str(name))):
        if (folder.path / CONFIG_FILE).exists():
            return folder
    pin = pins().get(str(name))
    if pin is None:
        known = ", ".join(list_models(weights)) or "none"
        raise InputError(f"There is no model '{name}'; give a model folder or one of those bundled in {weights} ({known}).")
    if (folder_in_cache := cached(pin)) is None:
        raise InputError(f"The model '{name}' has not been fetched from {pin.repo} yet; run resunet pull {name}.")
    return folder_in_cache


@dataclass(frozen=True)
class Entry:
    """A model or ablation of weights/: its folder, its configuration, and the names of its evaluations."""

    folder: ModelFolder
    config: ModelConfig
    evaluations: tuple[str, ...]


def read_catalogue() -> dict[str, Entry]:
    """All models and ablations that can be read, by name, the flagship first."""
    entries = {}
    for name in sorted(list_runs(), key=lambda name: (name != FLAGSHIP, name)):
        folder = find_model(name)
        with suppress(InputError):  # a damaged folder is not offered
            entries[name] = Entry(folder, folder.config(), tuple(folder.evaluations()))
    return entries


def list_models(weights: Path | None = None) -> list[str]:
    """Names of the models that can be run, sorted; what a killed write has left behind begins with a dot."""
    names = (path.parent.name for path in (weights or WEIGHTS).glob(f"*/{CONFIG_FILE}"))
    return sorted(name for name in names if not name.startswith("."))


def list_runs() -> list[str]:
    """Names of the models and of the ablations, sorted."""
    return sorted(list_models() + list_models(WEIGHTS / STUDIES))


def list_comparable() -> list[str]:
    """Names of the models and ablations that know the flagship's data set, sorted: figures of two data sets say nothing."""
    names = list_runs()
    data_set = find_model(FLAGSHIP).config().data_set.name if FLAGSHIP in names else None
    return [name for name in names if data_set in (None, find_model(name).config().data_set.name)]


def find_or_fetch(name: str, on_progress: Progress | None = None) -> ModelFolder:
    """`find_model`, and `fetch` where the model is pinned and not here yet. Raises InputError."""
    try:
        return find_model(name)
    except InputError:
        if (pin := pins().get(name)) is None:
            raise
        return fetch(pin, on_progress)


def pull(name: str, to: Path | None = None) -> Path:
    """Fetch a pinned model by name, or 'owner/name@commit', and copy it to weights/ (or `to`). Raises InputError."""
    pin = pins().get(name) or Pin.parse(name)
    folder = fetch(pin)
    target = to or WEIGHTS / folder.config().name
    with atomic_folder(target, CONFIG_FILE) as temporary:
        shutil.copytree(folder.path, temporary, dirs_exist_ok=True)  # follows the cache's links
    return target
