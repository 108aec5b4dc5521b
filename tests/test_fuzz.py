"""Thousands of damaged files of every format through the door of the uploads: a scan or a sentence, soon, in bounded memory.

Seeds are fixed, so that a finding comes back when the test is run again.
"""

import gzip
import io
from collections.abc import Callable, Iterator

import imagecodecs
import numpy as np
import psutil
import pytest
from PIL import Image

from resunet.data.archive import read_archive
from resunet.errors import InputError
from resunet.reading.sandbox import SandboxedDecoder
from resunet.reading.scan import MAX_SIDE, MIN_SIDE
from tests.hostile import RGB, SAMPLE, dicom, many_pages, nifti, npy, picture
from tests.test_evaluate_screen import two_folders, zipped
from tests.test_formats import mr, saved, tiff

MUTATIONS = 2000  # of each file
SECONDS = 2.0
GROWTH = 48  # MB
SMALL = RGB.resize((64, 64))
PLANE = SAMPLE.image[::4, ::4, 1]
EXTREMES = tuple(bytes.fromhex(digits) for digits in ("00000000", "ffffffff", "7fffffff", "ffffff7f", "80000000", "01000000"))


def pages() -> bytes:
    stream = io.BytesIO()
    SMALL.save(stream, "TIFF", save_all=True, append_images=[SMALL, SMALL], compression="tiff_lzw")
    return stream.getvalue()


FILES: dict[str, Callable[[], bytes]] = {
    "a.png": lambda: picture(SMALL, "PNG"),
    "deep.png": lambda: picture(Image.fromarray(PLANE.astype(np.uint16) * 257), "PNG"),
    "palette.png": lambda: picture(SMALL.convert("P"), "PNG"),
    "a.jpg": lambda: picture(SMALL, "JPEG"),
    "progressive.jpg": lambda: picture(SMALL, "JPEG", progressive=True),
    "a.tif": lambda: picture(SMALL, "TIFF"),
    "pages.tif": pages,
    "chain.tif": lambda: many_pages(6),
    "deep_colours.png": lambda: imagecodecs.png_encode(np.asarray(SMALL).astype(np.uint16) * 257),
    "print.jpg": lambda: picture(SMALL.convert("CMYK"), "JPEG"),
    "real.tif": lambda: tiff(PLANE.astype(np.float32), photometric="minisblack", compression="zlib", predictor=True),
    "planes.tif": lambda: tiff(
        np.moveaxis(np.asarray(SMALL), -1, 0), photometric="rgb", planarconfig="separate", compression="lzw"
    ),
    "palette.tif": lambda: tiff(PLANE, photometric="palette", colormap=np.zeros((3, 256), np.uint16)),
    "bare.dcm": lambda: saved(mr(PLANE.astype(np.int16)), whole=False),
    "a.npy": lambda: npy(PLANE.astype(np.float32)),
    "a.dcm": lambda: dicom(PLANE.astype(np.uint16), PixelSpacing=[0.5, 0.5]),
    "frames.dcm": lambda: dicom(np.stack([PLANE.astype(np.uint16)] * 3)),
    "a.nii": lambda: nifti(np.stack([PLANE] * 4, axis=-1).astype(np.float32), np.diag([0.9, 1.1, 5, 1])),
    "a.nii.gz": lambda: gzip.compress(nifti(np.stack([PLANE] * 4, axis=-1)), mtime=0),
}


def mutations(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Damaged copies: bits turned, numbers made extreme, parts cut out, doubled, moved and zeroed; half of it in the header."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        damaged = bytearray(content)
        for _ in range(int(rng.integers(1, 5))):
            reach = min(len(damaged), 512) if rng.random() < 0.5 else len(damaged)
            if reach < 8:
                break
            at, length = int(rng.integers(0, reach)), int(2 ** rng.integers(0, 8))
            kind = int(rng.integers(0, 7))
            if kind == 0:
                damaged[at] ^= 1 << int(rng.integers(0, 8))
            elif kind == 1:
                damaged[at : at + 4] = EXTREMES[int(rng.integers(0, len(EXTREMES)))]
            elif kind == 2:
                del damaged[at : at + length]
            elif kind == 3:
                damaged[at:at] = damaged[at : at + length]
            elif kind == 4:
                damaged[at : at + length] = rng.bytes(length)
            elif kind == 5:
                damaged[at : at + length] = bytes(length)
            else:
                del damaged[at:]
        yield bytes(damaged)


def resident(decoder: SandboxedDecoder) -> float:
    assert decoder._process is not None
    return psutil.Process(decoder._process.pid).memory_info().rss / 2**20


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    decoder = SandboxedDecoder(timeout=SECONDS)
    yield decoder
    decoder.close()


def sentence_on(decoder: SandboxedDecoder, content: bytes, name: str) -> str | None:
    """None for a scan that keeps the contract, else the sentence."""
    try:
        scan = decoder.read(content, name)
    except InputError as error:
        sentence = str(error)
        assert sentence.startswith(name) and sentence.endswith(".") and "\n" not in sentence, sentence
        assert "breaks its decoder" not in sentence and "takes more than" not in sentence, sentence
        return sentence
    count, height, width, channels = scan.slices.shape
    assert count >= 1 and channels == 3 and MIN_SIDE <= min(height, width) <= max(height, width) <= MAX_SIDE
    assert scan.slices.dtype.kind in "uif" and np.isfinite(scan.slices).all()
    assert scan.spacing is None or (len(scan.spacing) == 2 and all(side == side for side in scan.spacing))
    return None


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_damaged_files_give_a_scan_or_a_sentence(decoder: SandboxedDecoder, name: str):
    content = FILES[name]()
    assert sentence_on(decoder, content, name) is None
    outcomes, before = [], 0.0
    for number, damaged in enumerate(mutations(content, sum(name.encode()), MUTATIONS)):
        outcomes.append(sentence_on(decoder, damaged, name))
        if number == MUTATIONS // 4:
            before = resident(decoder)
    assert resident(decoder) - before < GROWTH
    assert sum(sentence is not None for sentence in outcomes) > MUTATIONS // 10  # else the mutations were too mild


@pytest.mark.slow
def test_damaged_zip_files_give_slices_or_a_sentence(decoder: SandboxedDecoder):
    content = zipped(two_folders())
    outcomes = []
    for damaged in mutations(content[-4000:], 5, MUTATIONS):
        try:
            for record in read_archive(content[:-4000] + damaged, decoder.read).slices:
                record.image(), record.mask()
            outcomes.append(None)
        except InputError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
            outcomes.append(str(error))
    assert 0 < outcomes.count(None) < MUTATIONS
