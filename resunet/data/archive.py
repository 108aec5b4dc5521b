"""A data set in a zip file, read in memory: images/ and masks/, or Kaggle's layout. Nothing is unpacked to disk."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from resunet.data.pairing import pair_files
from resunet.data.slices import Slice
from resunet.errors import InputError
from resunet.reading.readers import read_scan
from resunet.reading.scan import Scan
from resunet.reading.stored_file import StoredFile

MAX_SLICES = 2000
MAX_NAME = 300  # characters of a path in the archive
MAX_ENTRIES = 5 * MAX_SLICES  # files of any kind
ENTRY = b"PK\1\2"  # what each file's line in a zip file's list starts with
MAX_FILE = 64 * 1024 * 1024  # unpacked size of one file, bytes
MAX_TOTAL = 1024 * 1024 * 1024  # of all files together
LAYOUTS = "images/ and masks/ with equal names, or <patient>/<patient>_<n>.tif beside <patient>_<n>_mask.tif"


@dataclass(frozen=True)
class ArchivedSlice(Slice):
    """A `Slice` in a zip file that is held in memory; each file is unpacked when it is asked for."""

    patient: str
    number: int
    archive: zipfile.ZipFile
    image_name: str
    mask_name: str
    decode: Callable[[bytes, str], Scan]

    def image_scan(self) -> Scan:
        """The image file. Raises InputError when it cannot be read."""
        return self.decode(StoredFile.in_archive(self.archive, self.image_name).read(), self.image_name)

    def mask_scan(self) -> Scan:
        """The mask file. Raises InputError when it cannot be read."""
        return self.decode(StoredFile.in_archive(self.archive, self.mask_name).read(), self.mask_name)


class Listing(NamedTuple):
    """What a zip file holds: slices by patient and number, and sentences on what was left out."""

    slices: list[ArchivedSlice]
    notes: list[str]


def read_archive(content: bytes, decode: Callable[[bytes, str], Scan] = read_scan) -> Listing:
    """Slices with masks in the bytes of a zip file; no pixel is decoded yet.

    Args:
        content: the zip file.
        decode: what makes a Scan of a file's bytes and name; an untrusted zip file wants `SandboxedDecoder.read`.

    Raises:
        InputError: not a zip file, encrypted, too large, or neither layout; the message says what would be right.
    """
    archive, files = _open(content)
    contents = {entry.filename: (entry.file_size, entry.CRC) for entry in files}
    pairing = pair_files(contents, contents.__getitem__)
    if not pairing.pairs:
        why = f" {' '.join(pairing.notes())}" if pairing.without_mask else ""
        raise InputError(f"No slice with a mask was found in the zip file; it should hold {LAYOUTS}.{why}")
    if len(pairing.pairs) > MAX_SLICES:
        raise InputError(f"The zip file holds {len(pairing.pairs):,} slices; give at most {MAX_SLICES:,} at a time.")
    slices = [ArchivedSlice(pair.patient, pair.number, archive, pair.image, pair.mask, decode) for pair in pairing.pairs]
    return Listing(slices, pairing.notes())


def files_in(content: bytes, limit: int = MAX_TOTAL) -> list[StoredFile]:
    """The files in the bytes of a zip file; each is unpacked when it is asked for.

    Raises InputError, also where they hold more than `limit` bytes.
    """
    archive, entries = _open(content)
    if sum(entry.file_size for entry in entries) > limit:
        raise InputError(f"Unpacked, the zip file holds more than {limit >> 20} MB; give one examination at a time.")
    return [StoredFile.in_archive(archive, entry.filename) for entry in entries]


def _open(content: bytes) -> tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]:
    """A zip file and its files, their sizes checked. Raises InputError."""
    if content.count(ENTRY) > MAX_ENTRIES:  # before the list is read, which takes its time
        raise InputError(f"The zip file holds more files than can be read here; give at most {MAX_SLICES:,} slices at a time.")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except Exception:  # whatever a damaged file makes the library raise
        raise InputError(f"That is not a zip file; zip a folder that holds {LAYOUTS}.") from None
    files = [entry for entry in archive.infolist() if not entry.filename.endswith("/")]
    if any(len(entry.filename) > MAX_NAME for entry in files):
        raise InputError(f"The zip file holds names of more than {MAX_NAME} characters; give its files shorter ones.")
    # The others are unpacked by Python a whole block at a time, however large that turns out to be.
    if any(entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for entry in files):
        raise InputError("The zip file is packed in an unusual way; zip the folder again with the usual compression (deflate).")
    if any(entry.flag_bits & 1 for entry in files):
        raise InputError("The zip file is encrypted; give one without a password.")
    if any(entry.file_size > MAX_FILE for entry in files) or sum(entry.file_size for entry in files) > MAX_TOTAL:
        raise InputError(
            f"Unpacked, a file may hold {MAX_FILE >> 20} MB and all together {MAX_TOTAL >> 20} MB; give fewer slices."
        )
    return archive, files
