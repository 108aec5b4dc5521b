"""Where model folders come from: an explicit path, the bundled weights/, the Hub's cache at a pinned commit, the Hub.

No repository is assumed to exist. Whoever hosts model folders names them in the environment variable ``RESUNET_HUB``:
``resunet_deep=owner/name@<40 hex digits>,resnet50=owner/other@<40 hex digits>``. Nothing is asked of the network by
`find_model`; only `fetch` goes there.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resunet.artifacts import REPOSITORY, ModelFolder
from resunet.errors import InputError
from resunet.files import atomic_folder, file_sha256

if TYPE_CHECKING:
    from huggingface_hub import HfApi

WEIGHTS = REPOSITORY / "weights"
FLAGSHIP = "resunet_deep"  # the ResUNet that won on validation
STAGE_1 = "resnet50"
SETTING = "RESUNET_HUB"
PINNED = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
FILES = ["config.json", "model.safetensors", "history.csv", "snapshots.npz", "evaluation/**", "README.md"]
SECONDS = 10.0  # until an unanswered request to the Hub counts as failed


@dataclass(frozen=True)
class Pin:
    """A Hub repository at one commit."""

    repo: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> Pin:
        """From 'owner/name@<40 hex digits>'. Raises InputError."""
        found = PINNED.fullmatch(text.strip())
        if found is None:
            raise InputError(f"'{text}' does not name a commit on the Hub; give owner/name@ and its 40 hexadecimal digits.")
        return cls(found["repo"], found["revision"])


def pins() -> dict[str, Pin]:
    """Pinned repositories by model name, from ``RESUNET_HUB``. Raises InputError when it cannot be understood."""
    entries = [entry.strip() for entry in os.environ.get(SETTING, "").split(",") if entry.strip()]
    if any("=" not in entry for entry in entries):
        raise InputError(f"{SETTING} must read model=owner/name@commit, several of them with commas between.")
    return {name.strip(): Pin.parse(pin) for name, _, pin in (entry.partition("=") for entry in entries)}


def find_model(name: str | Path, weights: Path | None = None) -> ModelFolder:
    """The model folder `name`: a path to one, the name of one under `weights`, or a pinned one that is in the cache.

    Raises:
        InputError: none is there; the message lists the names that are, or says how to fetch a pinned one.
    """
    if (Path(name) / "config.json").exists():
        return ModelFolder(Path(name))
    weights = weights or WEIGHTS
    folder = ModelFolder(weights / str(name))
    if folder.config_path.exists():
        return folder
    pin = pins().get(str(name))
    if pin is None:
        known = ", ".join(list_models(weights)) or "none"
        raise InputError(f"There is no model '{name}'; give a model folder or one of those bundled in {weights} ({known}).")
    if (kept := cached(pin)) is None:
        raise InputError(f"The model '{name}' has not been fetched from {pin.repo} yet; run resunet pull {name}.")
    return kept


def list_models(weights: Path | None = None) -> list[str]:
    """Names of the model folders under `weights`, sorted."""
    return sorted(path.parent.name for path in (weights or WEIGHTS).glob("*/config.json"))


def cached(pin: Pin) -> ModelFolder | None:
    """The folder of a pinned commit where it is in the Hub's cache, complete; nothing is asked of the network."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        path = _api().snapshot_download(
            pin.repo, revision=pin.revision, local_files_only=True, allow_patterns=FILES, cache_dir=_cache()
        )
    except LocalEntryNotFoundError:
        return None
    folder = ModelFolder(Path(path))
    return folder if folder.config_path.exists() and folder.weights_path.exists() else None


def fetch(pin: Pin, progress: type[Any] | None = None) -> ModelFolder:
    """The folder of a pinned commit, from the Hub where it is not in the cache.

    Args:
        progress: a tqdm class that shows the bytes.

    Raises:
        InputError: no network, no such repository or commit, no access, too many requests, or files that are not what
            config.json says; the message says which.
    """
    if (kept := cached(pin)) is None:
        with _in_one_sentence(pin.repo):
            path = _api().snapshot_download(
                pin.repo,
                revision=pin.revision,
                allow_patterns=FILES,
                tqdm_class=progress,
                etag_timeout=SECONDS,
                cache_dir=_cache(),
            )
        kept = ModelFolder(Path(path))
    if kept.config().get("sha256") != file_sha256(kept.weights_path):
        raise InputError(f"{pin.repo} holds weights whose SHA-256 is not the one in its config.json; they are not used.")
    return kept


def find_or_fetch(name: str) -> ModelFolder:
    """`find_model`, and `fetch` where the model is pinned and not here yet. Raises InputError."""
    try:
        return find_model(name)
    except InputError:
        if (pin := pins().get(name)) is None:
            raise
        return fetch(pin)


def pull(name: str, to: Path | None = None) -> Path:
    """Fetch a pinned model by name, or 'owner/name@commit', and copy it to weights/ (or `to`). Raises InputError."""
    pin = pins().get(name) or Pin.parse(name)
    folder = fetch(pin)
    target = to or WEIGHTS / str(folder.config().get("name") or pin.repo.split("/")[1])
    with atomic_folder(target) as temporary:
        shutil.copytree(folder.path, temporary, dirs_exist_ok=True)  # follows the cache's links
    return target


def push(folder: ModelFolder, repo: str, private: bool = False) -> Pin:
    """Upload a model folder with its card; the repository is made where there is none. Returns the commit.

    Raises:
        InputError: the folder's weights are damaged, no network, or no right to write there.
    """
    folder.weights()
    with _in_one_sentence(repo):
        _api().create_repo(repo, private=private, exist_ok=True)
        done = _api().upload_folder(
            repo_id=repo, folder_path=folder.path, allow_patterns=FILES, commit_message=f"Upload {folder.name}"
        )
    return Pin(repo, str(done.oid))


def _api() -> HfApi:
    from huggingface_hub import HfApi  # half a second that most commands do without

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


def _cache() -> str | None:
    return os.environ.get("HF_HUB_CACHE")  # read at each call; the client reads it once, at import


@contextmanager
def _in_one_sentence(repo: str) -> Iterator[None]:
    """Turn what the Hub's client raises into an InputError that says what is wrong and what would be right."""
    from httpx2 import HTTPError
    from huggingface_hub import errors

    try:
        yield
    except errors.RevisionNotFoundError:
        raise InputError(f"{repo} has no such commit on the Hub; check the 40 digits after the @.") from None
    except (errors.GatedRepoError, errors.RepositoryNotFoundError):
        raise InputError(
            f"{repo} is not on the Hub, or not for you; check its name, or log in with hf auth login or HF_TOKEN."
        ) from None
    except errors.HFValidationError as error:
        raise InputError(f"'{repo}' is not a name of a Hub repository ({error}); give owner/name.") from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, HTTPError, OSError) as error:
        # A download that gave up says "not in the cache"; what the Hub answered is the cause behind it.
        answer = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
        if isinstance(answer, errors.HfHubHTTPError):
            status = answer.response.status_code
            advice = "wait a minute and try again" if status == 429 else "try again later, or check your rights there"
            raise InputError(f"The Hub answered {status} for {repo}; {advice}.") from None
        raise InputError(f"The Hub could not be reached for {repo} ({type(error).__name__}); check the network.") from None
