"""What visitors may send: how much of it, and that it stays in memory."""

from __future__ import annotations

from starlette.formparsers import MultiPartParser

from resunet.errors import InputError

FILE, ARCHIVE, TOGETHER = 64, 100, 160  # MB: an image or volume, a zip file, all that lies in the drop zone

# Streamlit receives uploads through Starlette, which would write whatever is larger than 1 MB into a temporary file.
MultiPartParser.spool_max_size = (ARCHIVE + 1) << 20


def check_together(contents: list[tuple[str, bytes]]) -> None:
    """Refuse more files than can be held at once. Raises InputError."""
    megabytes = sum(len(content) for _, content in contents) / 2**20
    if megabytes > TOGETHER:
        raise InputError(f"These files hold {megabytes:,.0f} MB together; give at most {TOGETHER} MB at a time.")
