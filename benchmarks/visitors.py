"""Many visitors at once: every screen and many verdicts over the real websocket protocol, and the server's memory.

    python -m benchmarks.visitors [--visitors 20] [--volumes 5] [--series 5] [--replays 5] [--minutes 2]
                                  [--screens all|single-image]

Starts the server. Each visitor connects as a browser would, opens a screen, waits, opens the next; on the single-image
screen they click through the samples and upload slices that nobody has sent before. Some may do nothing but upload volumes,
new ones too, or DICOM series of a thousand files, or replay six training runs after six others. An answer is lost when the
verdict on a click or an upload does not come back. At the end all visitors leave, and the memory is read once more when
Streamlit has let their sessions go.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import io
import json
import random
import time
import zipfile
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import psutil
import requests
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.asyncio.client import ClientConnection, connect

from benchmarks.server import Server, serving
from pages.common.slices.slice_sources import sample_label
from resunet.data.samples import load_samples

SOURCE = "Where the slice comes from"
EVENTS = "$$STREAMLIT_INTERNAL_KEY"  # before the identifier of a component that tells what happened
RUNS, RUNS_AT_MOST = "Runs, six at most; the first two race", 6
LET_GO = 150.0  # seconds until Streamlit has let go of sessions whose visitors left
SCREENS = ("", "single-image", "volume", "slideshow", "metrics", "comparison", "cases", "training", "evaluate", "about")
THINKING = (2.0, 8.0)  # seconds between two actions of a visitor
PATIENCE, SERIES_PATIENCE = 60.0, 900.0
SERIES = 1000  # files
FINISHED = (ForwardMsg.FINISHED_SUCCESSFULLY, ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY)


@dataclass
class Record:
    """What all visitors saw together."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)
    lost: int = 0

    def print_table(self) -> None:
        """How long each action took."""
        print("| action | times | median s | 95 % s | longest s |\n| --- | --- | --- | --- | --- |")
        for what, seconds in sorted(self.seconds.items()):
            median, high = np.percentile(seconds, (50, 95))
            print(f"| {what} | {len(seconds)} | {median:.2f} | {high:.2f} | {max(seconds):.2f} |")


class Visitor:
    """One browser tab's side of the protocol."""

    def __init__(self, address: str, connection: ClientConnection, record: Record) -> None:
        self.address, self.connection, self.record = address, connection, record
        self.buttons: dict[str, str] = {}
        self.widgets: dict[str, str] = {}
        self.options: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self.components: dict[str, tuple[str, Any]] = {}  # by name: identifier, and what the server told it
        self.session = self.query = ""
        self.addresses: Any = None
        self.http = requests.Session()
        self.http.get(f"{address}/_stcore/health", timeout=PATIENCE)  # brings the cookie that uploads need

    patience = PATIENCE  # seconds

    async def ask(self, what: str, message: BackMsg) -> None:
        """Send a message and wait until the script has run; the time goes into the record."""
        started = time.perf_counter()
        await self._exchange(message)
        self.record.seconds[what].append(time.perf_counter() - started)

    async def _exchange(self, message: BackMsg) -> None:
        self.texts = []
        await self.connection.send(message.SerializeToString())
        async with asyncio.timeout(self.patience):
            while not self._take(ForwardMsg.FromString(await self.connection.recv())):
                pass

    def _take(self, message: ForwardMsg) -> bool:
        """Remember what the message shows; whether it says that the script has finished."""
        if message.WhichOneof("type") == "new_session":
            self.session = message.new_session.initialize.session_id or self.session
        elif message.WhichOneof("type") == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif message.WhichOneof("type") == "file_urls_response":
            self.addresses = message.file_urls_response.file_urls[0]
            return True
        element = message.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            self.record.errors.append(element.exception.message)
        elif kind == "button":
            self.buttons[element.button.label] = element.button.id
        elif kind in ("button_group", "file_uploader"):
            self.widgets[kind if kind == "file_uploader" else element.button_group.label] = getattr(element, kind).id
        elif kind == "multiselect":
            self.widgets[element.multiselect.label] = element.multiselect.id
            self.options[element.multiselect.label] = list(element.multiselect.options)
        elif kind == "bidi_component":
            component = element.bidi_component
            self.components[component.component_name] = component.id, json.loads(component.json or "null")
        elif kind in ("markdown", "heading", "alert"):
            self.texts.append(getattr(element, kind).body)
        return message.WhichOneof("type") == "script_finished" and message.script_finished in FINISHED

    async def open(self, screen: str) -> None:
        """Open a screen by its address."""
        message = BackMsg()
        message.rerun_script.page_name = screen
        self.buttons = {}
        await self.ask(screen or "overview", message)

    async def click_sample(self, label: str) -> None:
        """Click a sample; its slice must come back with a verdict."""
        message = BackMsg()
        message.rerun_script.page_name = "single-image"
        message.rerun_script.widget_states.widgets.add(id=self.buttons[label], trigger_value=True)
        await self.ask("verdict", message)
        self._expect("P(tumour)")

    def _expect(self, words: str) -> None:
        if not any(words in text for text in self.texts):
            self.record.lost += 1

    async def choose_upload(self) -> None:
        """Turn from the samples to the drop zone."""
        await self.ask("drop zone", self._at_the_drop_zone())

    async def upload_slice(self, name: str, content: bytes) -> None:
        """Upload a slice in the place of the one before; it must come back with a verdict, under its name."""
        await self._upload(name, content, self._at_the_drop_zone, "verdict on an upload")
        self._expect(name.partition(".")[0])

    async def upload_volume(self, name: str, content: bytes, what: str) -> None:
        """Upload a volume or a series in the place of the one before; it must come back with a verdict."""

        def on_the_screen() -> BackMsg:
            message = BackMsg()
            message.rerun_script.page_name = "volume"
            return message

        await self._upload(name, content, on_the_screen, what)
        self._expect("highest P(tumour)")

    async def replay(self, rng: random.Random) -> None:
        """Choose as many training runs as may be chosen, any of them."""
        message = BackMsg()
        message.rerun_script.page_name = "training"
        chosen = message.rerun_script.widget_states.widgets.add(id=self.widgets[RUNS])
        chosen.string_array_value.data.extend(rng.sample(self.options[RUNS], RUNS_AT_MOST))
        await self.ask("six training runs", message)

    async def enter_room(self, query: str) -> None:
        """Go where a QR code leads."""
        message = BackMsg()
        message.rerun_script.page_name, message.rerun_script.query_string = "play", query
        await self.ask("way in", message)

    async def draw(self, number: int, outline: list[tuple[float, float]]) -> None:
        """Send the outline of a round of the game; its score must come back."""
        message = BackMsg()
        message.rerun_script.page_name, message.rerun_script.query_string = "play", self.query
        board, _ = self.components["game_board"]
        drawn = message.rerun_script.widget_states.widgets.add(id=f"{EVENTS}_{board}__events")
        drawn.json_trigger_value = json.dumps([{"event": "drawn", "value": {"number": number, "points": outline}}])
        await self.ask("score", message)
        if self.components["game_board"][1]["done"] != number + 1:
            self.record.lost += 1

    def _at_the_drop_zone(self) -> BackMsg:
        """A rerun that says, as a browser does each time, that the drop zone is chosen."""
        message = BackMsg()
        message.rerun_script.page_name = "single-image"
        chosen = message.rerun_script.widget_states.widgets.add(id=self.widgets[SOURCE])
        chosen.string_array_value.data.append("Upload")
        return message

    async def _upload(self, name: str, content: bytes, base: Callable[[], BackMsg], what: str) -> None:
        token = {"X-Xsrftoken": self.http.cookies.get("_streamlit_xsrf")}
        if self.addresses is not None:
            remove = partial(self.http.delete, headers=token, timeout=PATIENCE)
            (await asyncio.to_thread(remove, self.address + self.addresses.delete_url)).raise_for_status()
        started = time.perf_counter()
        message = BackMsg()
        message.file_urls_request.request_id, message.file_urls_request.session_id = name, self.session
        message.file_urls_request.file_names.append(name)
        await self._exchange(message)
        put = partial(self.http.put, files={"file": (name, content)}, headers=token, timeout=PATIENCE)
        (await asyncio.to_thread(put, self.address + self.addresses.upload_url)).raise_for_status()
        message = base()
        widget = message.rerun_script.widget_states.widgets.add(id=self.widgets["file_uploader"])
        info = widget.file_uploader_state_value.uploaded_file_info.add(name=name, size=len(content))
        info.file_id = self.addresses.file_id
        info.file_urls.CopyFrom(self.addresses)
        await self._exchange(message)
        self.record.seconds[what].append(time.perf_counter() - started)


def unseen_slice(visitor: int, number: int) -> bytes:
    """A PNG that no other visitor sends."""
    samples = load_samples()
    picture = samples[(visitor + number) % len(samples)].image.copy()
    picture[0, 0], picture[0, 1] = visitor, number % 256
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()


def unseen_volume(visitor: int, number: int) -> bytes:
    """A NIfTI volume of 256x256 pixels and 40 slices, 3 mm apart, that no other visitor sends."""
    import nibabel

    flair = load_samples()[(visitor + number) % len(load_samples())].image[..., 1].astype(np.uint8)
    voxels = np.repeat(flair.T[::-1, ::-1, None], 40, axis=2)
    voxels[0, 0, :2] = visitor, number % 256
    return gzip.compress(nibabel.Nifti1Image(voxels, np.diag([0.9, 0.9, 3.0, 1.0])).to_bytes(), 1)


@asynccontextmanager
async def visiting(number: int, address: str, record: Record) -> AsyncIterator[tuple[Visitor, random.Random]]:
    """A visitor who comes within the first seconds, and their own randomness; what ends a visit early goes into the record."""
    rng = random.Random(number)
    await asyncio.sleep(rng.uniform(0, THINKING[1]))
    stream = f"{address.replace('http', 'ws', 1)}/_stcore/stream"
    try:
        async with connect(stream, subprotocols=["streamlit"], max_size=None) as connection:
            yield Visitor(address, connection, record), rng
    except Exception as error:  # whatever it is, it is a finding
        record.errors.append(f"{type(error).__name__}: {error}")


def unseen_series(visitor: int, number: int) -> bytes:
    """A zip file of a DICOM series of 1,000 files of 128x128 pixels, 1 mm apart, that no other visitor sends."""
    samples = load_samples()
    pixels = samples[(visitor + number) % len(samples)].image[::2, ::2, 1].astype("<u2")
    pixels[0, :2] = visitor, number % 256
    study = f"1.2.826.0.1.{visitor}.{number}"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for position in range(SERIES):
            image = Dataset()
            image.file_meta = FileMetaDataset()
            image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, f"{study}.{position}"
            image.StudyInstanceUID = image.SeriesInstanceUID = study
            image.Modality, image.SeriesDescription = "MR", "FLAIR"
            image.Rows, image.Columns = pixels.shape
            image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
            image.BitsAllocated, image.BitsStored, image.HighBit = 16, 16, 15
            image.PixelSpacing, image.ImageOrientationPatient = [1.8, 1.8], [1, 0, 0, 0, 1, 0]
            image.ImagePositionPatient = [0, 0, position]
            image.PixelData = pixels.tobytes()
            content = io.BytesIO()
            image.save_as(content, enforce_file_format=True)
            archive.writestr(f"{position:04}.dcm", content.getvalue())
    return stream.getvalue()


async def bring_volumes(number: int, address: str, until: float, record: Record, is_series: bool) -> None:
    """The stay of a visitor who uploads one volume, or one long series, after the other."""
    uploads = 0
    async with visiting(number, address, record) as (visitor, rng):
        visitor.patience = SERIES_PATIENCE if is_series else PATIENCE
        await visitor.open("volume")
        while time.monotonic() < until:
            uploads += 1
            make, ending = (unseen_series, "zip") if is_series else (unseen_volume, "nii.gz")
            content = await asyncio.to_thread(make, number, uploads)
            what = "verdict on a series of 1,000 files" if is_series else "verdict on a volume"
            await visitor.upload_volume(f"head{number}no{uploads}.{ending}", content, what)
            await asyncio.sleep(rng.uniform(*THINKING))


async def replay_training(number: int, address: str, until: float, record: Record) -> None:
    """The stay of a visitor who replays six runs after six others."""
    async with visiting(number, address, record) as (visitor, rng):
        await visitor.open("training")
        while time.monotonic() < until:
            await visitor.replay(rng)
            await asyncio.sleep(rng.uniform(*THINKING))


async def visit(number: int, address: str, screens: tuple[str, ...], until: float, record: Record) -> None:
    """One visitor's whole stay."""
    uploads, labels = 0, [sample_label(sample) for sample in load_samples()]
    async with visiting(number, address, record) as (visitor, rng):
        while time.monotonic() < until:
            screen = rng.choice(screens)
            await visitor.open(screen)
            await asyncio.sleep(rng.uniform(*THINKING))
            offered = [label for label in labels if label in visitor.buttons]
            for label in rng.sample(offered, min(3, len(offered))):
                await visitor.click_sample(label)
                await asyncio.sleep(rng.uniform(*THINKING))
            if screen == "single-image":
                await visitor.choose_upload()
                for _ in range(2):
                    uploads += 1
                    await visitor.upload_slice(f"visitor{number}no{uploads}.png", unseen_slice(number, uploads))
                    await asyncio.sleep(rng.uniform(*THINKING))


async def watch_memory(server: psutil.Process, until: float, samples: list[float]) -> None:
    """Resident memory every ten seconds, MB."""
    while time.monotonic() < until:
        samples.append(server.memory_info().rss / 1e6)
        await asyncio.sleep(10)


async def stay(options: argparse.Namespace, server: Server) -> tuple[Record, list[float]]:
    """All visitors at once: first those who bring volumes, then those who replay training, then the others."""
    record, memory, until = Record(), list[float](), time.monotonic() + 60 * options.minutes
    screens = SCREENS if options.screens == "all" else ("single-image",)
    visits = []
    for number in range(options.visitors):
        if number < options.volumes + options.series:
            visits.append(bring_volumes(number, server.address, until, record, is_series=number >= options.volumes))
        elif number < options.volumes + options.series + options.replays:
            visits.append(replay_training(number, server.address, until, record))
        else:
            visits.append(visit(number, server.address, screens, until, record))
    watching = watch_memory(psutil.Process(server.process.pid), until, memory)
    _, waiting = await asyncio.wait(map(asyncio.ensure_future, [watching, *visits]), timeout=60 * options.minutes + PATIENCE)
    for stay_of_one in waiting:  # whose volume is still in the queue
        stay_of_one.cancel()
    return record, memory


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--volumes", type=int, default=0, help="how many of the visitors bring volumes")
    parser.add_argument("--series", type=int, default=0, help="how many bring DICOM series of 1,000 files")
    parser.add_argument("--replays", type=int, default=0, help="how many replay six training runs after six others")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--screens", choices=["all", "single-image"], default="all")
    options = parser.parse_args()
    with serving() as server:
        record, memory = asyncio.run(stay(options, server))
        time.sleep(LET_GO)
        assert server.is_ready()
        left = psutil.Process(server.process.pid).memory_info().rss / 1e6
    record.print_table()
    print(
        f"\n{options.visitors} visitors, {options.minutes:g} minutes: {len(record.errors)} errors, {record.lost} lost answers"
    )
    for error in sorted(set(record.errors)):
        print(f"  {error}")
    half = memory[len(memory) // 2 :]
    print(f"memory: {memory[-1]:.0f} MB at the end, {max(memory):.0f} at most; second half {half[0]:.0f} to {half[-1]:.0f} MB")
    print(f"memory when all have left: {left:.0f} MB")


if __name__ == "__main__":
    main()
