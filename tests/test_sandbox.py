"""Decoding in a process of its own: the same answers as in ours, and nothing that a file does there reaches us."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from resunet.errors import InputError
from resunet.reading.readers import read_scan
from resunet.reading.sandbox import SandboxedDecoder
from tests.hostile import BAD, RGB, SAMPLE, dicom, endless_dicom, many_pages, nifti, npy, picture

GOOD = {
    "a.png": SAMPLE.png,
    "grey.png": picture(RGB.convert("L"), "PNG"),
    "a.jpg": picture(RGB, "JPEG"),
    "pages.tif": many_pages(5),
    "a.npy": npy(SAMPLE.image.astype(">u2")),
    "a.nii": nifti(np.random.default_rng(0).random((40, 30, 5)).astype(np.float32), np.diag([0.9, 1.1, 5, 1])),
    "a.dcm": dicom(SAMPLE.image[..., 1].astype(np.uint16), PixelSpacing=[0.5, 0.75]),
    "post.dcm": dicom(
        SAMPLE.image[..., 1].astype(np.uint16),
        Modality="MR",
        SeriesDescription="T1 SAG post",
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
    ),
}


@pytest.fixture(scope="module")
def decoder() -> Iterator[SandboxedDecoder]:
    decoder = SandboxedDecoder(timeout=20)
    yield decoder
    decoder.close()


def pid_of(decoder: SandboxedDecoder) -> int:
    assert decoder._process is not None
    return decoder._process.pid


@pytest.mark.parametrize("name", GOOD)
def test_the_answer_is_the_same_as_without_a_process(decoder: SandboxedDecoder, name: str):
    here, there = read_scan(GOOD[name], name), decoder.read(GOOD[name], name)
    np.testing.assert_array_equal(there.slices, here.slices)
    assert replace(there, slices=here.slices) == here
    assert there.slices.dtype == here.slices.dtype


def test_what_a_header_says_passes_through(decoder: SandboxedDecoder):
    scan = decoder.read(GOOD["post.dcm"], "post.dcm")
    assert (scan.sequence, scan.plane, scan.sides, scan.modality) == ("post", "sagittal", "AP", "MR")
    assert decoder.read(GOOD["a.nii"], "a.nii").sides == "RL"


def test_bad_files_get_the_same_sentence_and_do_not_end_the_process(decoder: SandboxedDecoder):
    decoder.read(SAMPLE.png, "a.png")
    process = pid_of(decoder)
    for name, (build, expected) in BAD.items():
        with pytest.raises(InputError, match=expected):
            decoder.read(build(), name)
    assert pid_of(decoder) == process


def test_a_file_that_takes_too_long_is_given_up_and_the_next_is_read():
    decoder = SandboxedDecoder(timeout=1.0)
    decoder.read(SAMPLE.png, "a.png")
    started = time.monotonic()
    with pytest.raises(InputError, match=r"endless.dcm takes more than 1 s to decode; export it again as PNG"):
        decoder.read(endless_dicom(3_000_000), "endless.dcm")
    assert time.monotonic() - started < 4
    assert decoder.read(SAMPLE.png, "a.png").slices.shape == (1, 256, 256, 3)
    decoder.close()


@pytest.mark.parametrize("loop", [False, True])
def test_a_tiff_of_endless_pages_is_refused_without_counting_them(decoder: SandboxedDecoder, loop: bool):
    with pytest.raises(InputError, match="holds 1025 slices|damaged or incomplete"):
        decoder.read(many_pages(2_000, loop), "pages.tif")


def test_a_process_that_breaks_down_is_replaced(decoder: SandboxedDecoder, monkeypatch: pytest.MonkeyPatch):
    def broken() -> subprocess.Popen[bytes]:
        decoder._process = subprocess.Popen([sys.executable, "-c", ""], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return decoder._process

    with monkeypatch.context() as patch:
        patch.setattr(decoder, "_running", broken)
        with pytest.raises(InputError, match=r"a.png breaks its decoder"):
            decoder.read(SAMPLE.png, "a.png")
    assert decoder.read(SAMPLE.png, "a.png").slices.shape == (1, 256, 256, 3)


def test_a_killed_process_is_replaced(decoder: SandboxedDecoder):
    decoder.read(SAMPLE.png, "a.png")
    process = psutil.Process(pid_of(decoder))
    os.kill(process.pid, signal.SIGKILL)
    process.wait(5)
    assert decoder.read(SAMPLE.png, "a.png").slices.shape == (1, 256, 256, 3)


def test_memory_is_limited():
    decoder = SandboxedDecoder(timeout=20, memory=400 << 20)
    with pytest.raises(InputError, match=r"big.nii needs more memory than there is"):
        decoder.read(nifti(np.zeros((512, 512, 200), np.uint8)), "big.nii")
    decoder.close()


def test_a_file_that_would_fill_the_server_is_refused(decoder: SandboxedDecoder, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(InputError, match=r"big.npy holds more than 192 MB of pixels; give part of it"):
        decoder.read(npy(np.zeros((256, 512, 512), np.float32)), "big.npy")


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_the_process_knows_no_secrets_and_ends_when_idle(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    decoder = SandboxedDecoder(timeout=20, idle=0.3)
    decoder.read(SAMPLE.png, "a.png")
    process = psutil.Process(pid_of(decoder))
    assert "HF_TOKEN" not in process.environ() and "hf_secret" not in str(process.environ())
    process.wait(5)
    assert decoder.read(SAMPLE.png, "a.png").slices.shape == (1, 256, 256, 3)
    decoder.close()
