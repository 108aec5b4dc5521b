"""The Hugging Face Hub: model folders and sample slices at pinned commits, fetched, cached and uploaded.

No repository is assumed to exist. Whoever hosts model folders names them in the environment variable ``RESUNET_HUB``:
``resunet_lite=owner/name@<40 hex digits>,resnet50=owner/other@<40 hex digits>``; a data set of sample slices likewise:
``samples=owner/name@<40 hex digits>``; real slices of held-out patients: ``slices=owner/name@<40 hex digits>``. Only
`fetch`, `find_samples`, `find_slice_set` and the uploads go to the network.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from resunet.data.lgg import DESCRIPTION
from resunet.data.samples import INDEX, SAMPLES, load_samples
from resunet.data.slices import SliceRecord
from resunet.errors import InputError
from resunet.model_folder import CARD, CONFIG_FILE, DETECTOR, GRAPH_FILE, HISTORY, SNAPSHOTS, WEIGHTS_FILE, ModelFolder

if TYPE_CHECKING:
    from huggingface_hub import HfApi

SETTING = "RESUNET_HUB"
PINNED = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
SAMPLE_SET = "samples"  # the name in RESUNET_HUB that means a data set, not a model
SLICE_SET = "slices"  # the name that means real slices, laid out as the LGG set
SLICE_FILES = ["kaggle_3m/*/*.tif", CARD]
SAMPLE_FILES = [INDEX, "images/*.png", "masks/*.png", CARD]
FILES = [CONFIG_FILE, WEIGHTS_FILE, GRAPH_FILE, HISTORY, SNAPSHOTS, DETECTOR, "evaluation/**", "prepared/*", CARD]
SLICE_CARD = """---
license: cc-by-nc-sa-4.0
task_categories: [image-segmentation]
tags: [MRI, brain, glioma]
---

# Slices of {patients} patients of the {name}

{slices} slices and their masks, unchanged, of the split '{split}'. Licence: {licence}. The images come from The Cancer Imaging
Archive (TCGA-LGG), the masks from Buda, Saha, Mazurowski, Computers in Biology and Medicine 109 (2019), and Mazurowski et al.,
Journal of Neuro-Oncology (2017).
"""
TIMEOUT = 10.0  # seconds until an unanswered request to the Hub counts as failed
Progress = Callable[[int, int], None]  # bytes downloaded, bytes in all


@dataclass(frozen=True)
class Pin:
    """A Hub repository at one commit."""

    repo: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> Pin:
        """From 'owner/name@<40 hex digits>'. Raises InputError."""
        match = PINNED.fullmatch(text.strip())
        if match is None:
            raise InputError(f"'{text}' does not name a commit on the Hub; give owner/name@ and its 40 hexadecimal digits.")
        return cls(match["repo"], match["revision"])


def pins() -> dict[str, Pin]:
    """Pinned repositories by model name, from ``RESUNET_HUB``. Raises InputError when it cannot be understood."""
    entries = [entry.strip() for entry in os.environ.get(SETTING, "").split(",") if entry.strip()]
    if any("=" not in entry for entry in entries):
        raise InputError(f"{SETTING} must read model=owner/name@commit, several of them with commas between.")
    return {name.strip(): Pin.parse(pin) for name, _, pin in (entry.partition("=") for entry in entries)}


def cached(pin: Pin) -> ModelFolder | None:
    """The folder of a pinned commit where it is in the Hub's cache, complete; nothing is asked of the network."""
    path = _cached(pin, FILES)
    folder = ModelFolder(path) if path else None
    return (
        _without_links(folder)
        if folder and (folder.path / CONFIG_FILE).exists() and (folder.path / WEIGHTS_FILE).exists()
        else None
    )


def fetch(pin: Pin, on_progress: Progress | None = None) -> ModelFolder:
    """The folder of a pinned commit, from the Hub where it is not in the cache; `on_progress` hears how far it has come.

    Raises:
        InputError: no network, no such repository or commit, no access, too many requests, or files that are not what
            config.json says; the message says which.
    """
    folder = cached(pin) or _without_links(ModelFolder(_download(pin, FILES, on_progress)))
    for file in folder.config().sha256:
        folder.check(file)
    return folder


def _without_links(folder: ModelFolder) -> ModelFolder:
    """Turn the cache's symbolic links to weights and graph into hard links: OpenVINO follows none out of the graph's folder."""
    for path in (folder.path / WEIGHTS_FILE, folder.path / GRAPH_FILE):
        if path.is_symlink():
            link = path.with_name(f".{os.getpid()}.{path.name}")
            os.link(path.resolve(), link)
            link.replace(path)
    return folder


def find_samples(on_progress: Progress | None = None) -> Path:
    """The folder of sample slices: the pinned data set, fetched as `fetch` does, else the bundled ones. Raises InputError."""
    if (pin := pins().get(SAMPLE_SET)) is None:
        return SAMPLES
    if (folder := _cached(pin, SAMPLE_FILES, "dataset")) is not None:
        with suppress(InputError):  # a download that was cut short
            load_samples(folder)
            return folder
    return _download(pin, SAMPLE_FILES, on_progress, "dataset")


def find_slice_set(on_progress: Progress | None = None) -> Path | None:
    """The folder above kaggle_3m of the pinned real slices, fetched as `fetch` does; None where none are pinned.

    Raises:
        InputError: as `fetch`.
    """
    if (pin := pins().get(SLICE_SET)) is None:
        return None
    folder = _cached(pin, SLICE_FILES, "dataset")
    return folder if folder and (folder / CARD).exists() else _download(pin, SLICE_FILES, on_progress, "dataset")


def push(folder: ModelFolder, repo: str, private: bool = False) -> Pin:
    """Upload a model folder with its card; the repository is made where there is none. Returns the commit.

    Raises:
        InputError: weights or graph are missing or damaged, no network, or no right to write there.
    """
    for file in (WEIGHTS_FILE, GRAPH_FILE):
        folder.check(file)
    return _upload(folder.path, repo, private, FILES, "model")


def push_samples(folder: Path, repo: str, private: bool = False) -> Pin:
    """Upload a folder of sample slices (index.csv, images/, masks/) as a data set. Returns the commit. Raises InputError."""
    load_samples(folder)
    return _upload(folder, repo, private, SAMPLE_FILES, "dataset")


def push_slices(records: Sequence[SliceRecord], split: str, repo: str, private: bool = False) -> Pin:
    """Upload slices of the LGG set as a data set, with a card that states their licence. Returns the commit.

    Raises:
        InputError: no network, or no right to write there.
    """
    patients = len({record.patient for record in records})
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for record in records:
            place = folder / "kaggle_3m" / record.patient
            place.mkdir(parents=True, exist_ok=True)
            for path in (record.image_path, record.mask_path):
                (place / path.name).symlink_to(path.resolve())
        about = {"name": DESCRIPTION.name, "licence": DESCRIPTION.licence, "patients": patients, "slices": len(records)}
        card = SLICE_CARD.format(split=split, **about)
        (folder / CARD).write_text(card, encoding="utf-8")
        return _upload(folder, repo, private, SLICE_FILES, "dataset")


def _upload(folder: Path, repo: str, private: bool, files: list[str], repo_type: str) -> Pin:
    with _in_one_sentence(repo):
        _api().create_repo(repo, private=private, exist_ok=True, repo_type=repo_type)
        commit = _api().upload_folder(repo_id=repo, folder_path=folder, allow_patterns=files, repo_type=repo_type)
    return Pin(repo, str(commit.oid))


def _cached(pin: Pin, files: list[str], repo_type: str = "model") -> Path | None:
    from huggingface_hub.errors import LocalEntryNotFoundError

    with _in_one_sentence(pin.repo), suppress(LocalEntryNotFoundError):
        return _snapshot(pin, files, repo_type, local_files_only=True)
    return None


def _download(pin: Pin, files: list[str], on_progress: Progress | None, repo_type: str = "model") -> Path:
    class Bar(tqdm):  # type: ignore[type-arg]
        """Reports to `on_progress` instead of the terminal; the client has one bar in bytes and one in files."""

        def display(self, *_: object, **__: object) -> None:
            if on_progress is not None and self.unit == "B" and self.total:
                on_progress(int(self.n), int(self.total))

    with _in_one_sentence(pin.repo):
        # Asked once, without the retries of the download: what keeps the Hub from answering is said at once.
        _api().repo_info(pin.repo, revision=pin.revision, repo_type=repo_type, timeout=TIMEOUT)
        return _snapshot(pin, files, repo_type, etag_timeout=TIMEOUT, tqdm_class=Bar)


def _snapshot(pin: Pin, files: list[str], repo_type: str, **options: Any) -> Path:
    return Path(
        _api().snapshot_download(
            pin.repo,
            revision=pin.revision,
            allow_patterns=files,
            cache_dir=os.environ.get("HF_HUB_CACHE"),  # read at each call; the client reads it once, at import
            repo_type=repo_type,
            **options,
        )
    )


def _api() -> HfApi:
    from huggingface_hub import HfApi  # half a second that most commands do without

    return HfApi(endpoint=os.environ.get("HF_ENDPOINT"))


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
    except (JSONDecodeError, KeyError):  # no JSON, or not the Hub's
        raise InputError(
            f"What answers for {repo} is not the Hub, but perhaps a proxy's login page; check proxy and network."
        ) from None
    except (errors.HfHubHTTPError, errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, HTTPError, OSError) as error:
        # A download that gave up says "not in the cache"; what the Hub answered is the cause behind it.
        answer = error if isinstance(error, errors.HfHubHTTPError) else error.__cause__
        if isinstance(answer, errors.HfHubHTTPError):
            status = answer.response.status_code
            advice = "wait a minute and try again" if status == 429 else "try again later, or check your rights there"
            raise InputError(f"The Hub answered {status} for {repo}; {advice}.") from None
        raise InputError(f"The Hub could not be reached for {repo} ({type(error).__name__}); check the network.") from None
