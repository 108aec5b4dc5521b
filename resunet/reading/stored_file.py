"""Files wherever they lie, read when they are asked for, and what makes pixels of them."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from resunet.errors import InputError
from resunet.reading import readers
from resunet.reading.formats.series import Series
from resunet.reading.scan import MAX_BYTES, Scan
from resunet.reading.volume_scan import Volume


class Decoder(Protocol):
    """What makes pixels of files: `readers` in this process, `SandboxedDecoder` for untrusted ones."""

    def read(self, content: bytes, name: str) -> Scan: ...
    def read_volume(self, content: bytes, name: str) -> Volume: ...
    def read_series(self, files: Mapping[str, bytes], name: str) -> Volume: ...
    def find_series(self, files: Mapping[str, bytes]) -> list[Series]: ...


class LocalDecoder:
    """The readers of this process, for files of the person who runs it."""

    read = staticmethod(readers.read_scan)
    read_volume = staticmethod(readers.read_volume)
    read_series = staticmethod(readers.read_dicom_series)
    find_series = staticmethod(readers.find_dicom_series)


@dataclass(frozen=True)
class StoredFile:
    """A file on a disk, in an archive or in memory, read when it is asked for.

    Attributes:
        name: what messages and results call it, with its folders.
        open: a stream of its bytes.
        path: where it lies: on disk from the root, elsewhere within its archive.
    """

    name: str
    open: Callable[[], IO[bytes]] = field(repr=False, compare=False)
    path: PurePosixPath

    @classmethod
    def on_disk(cls, path: Path) -> StoredFile:
        """Called as the path is written."""
        return cls(str(path), lambda: path.open("rb"), PurePosixPath(Path(os.path.realpath(path)).as_posix()))

    @classmethod
    def in_memory(cls, name: str, content: bytes) -> StoredFile:
        """Of bytes."""
        return cls(name, lambda: io.BytesIO(content), PurePosixPath(name.replace("\\", "/")))

    @classmethod
    def in_archive(cls, archive: zipfile.ZipFile, name: str) -> StoredFile:
        """Of a zip file that is open."""
        return cls(name, lambda: archive.open(name), PurePosixPath(name.replace("\\", "/")))

    def below(self, archive: Path) -> StoredFile:
        """The same with its archive's path in front."""
        top = PurePosixPath(Path(os.path.realpath(archive)).with_suffix("").as_posix())
        return StoredFile(str(archive / self.name), self.open, top / self.path)

    def read(self, limit: int = -1) -> bytes:
        """All of its bytes, or as many as the limit. Raises InputError."""
        try:
            with self.open() as stream:
                content = stream.read(MAX_BYTES + 1 if limit < 0 else limit)
        except FileNotFoundError:
            raise InputError(f"{self.name} does not exist.") from None
        except OSError as error:
            raise InputError(f"{self.name} cannot be read ({error.strerror}).") from None
        except Exception as error:  # whatever a damaged archive makes its library raise
            raise InputError(f"{self.name} in the zip file is damaged; zip the folder again.") from error
        if len(content) > MAX_BYTES:
            raise InputError(f"{self.name} is larger than {MAX_BYTES >> 20} MB; give a smaller file.")
        return content

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the bytes."""
        return hashlib.sha256(self.read()).hexdigest()
