"""What visitors may send: how much of it, that it stays in memory, and that it is hashed once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import streamlit as st
from starlette.formparsers import MultiPartParser

from resunet.errors import InputError

if TYPE_CHECKING:
    from streamlit.runtime.uploaded_file_manager import UploadedFile

FILE, ARCHIVE, TOGETHER = 64, 100, 160  # MB: an image or volume, a zip file, all that lies in the drop zone

# Streamlit receives uploads through Starlette, which would write whatever is larger than 1 MB into a temporary file.
MultiPartParser.spool_max_size = (ARCHIVE + 1) << 20


@dataclass(frozen=True)
class ImageFile:
    """A visitor's file in memory; its SHA-256 is the key of everything that is computed from it."""

    name: str
    content: bytes = field(repr=False)
    digest: str


def image_files(uploaded: Sequence[UploadedFile]) -> list[ImageFile]:
    """The files in a drop zone; each is hashed when it comes, not at each redraw."""
    digests: dict[str, str] = st.session_state.setdefault("upload_digests", {})
    files = []
    for upload in uploaded:
        content = upload.getvalue()
        if upload.file_id not in digests:
            digests[upload.file_id] = hashlib.sha256(content).hexdigest()
        files.append(ImageFile(upload.name, content, digests[upload.file_id]))
    return files


def check_together(megabytes: float) -> None:
    """Refuse more than can be held at once. Raises InputError."""
    if megabytes > TOGETHER:
        raise InputError(f"These files hold {megabytes:,.0f} MB together; give at most {TOGETHER} MB at a time.")
