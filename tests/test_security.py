"""What docs/security.md promises and no other test shows: nothing is written, nobody is called, limits hold."""

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from starlette.datastructures import Headers
from starlette.formparsers import MultiPartParser

from pages.common import uploads
from resunet.data.samples import load_samples
from resunet.errors import InputError
from tests import test_dashboards, test_evaluate_screen
from tests.conftest import REPOSITORY, open_app
from tests.test_app import fresh_caches, upload  # noqa: F401 (fixture)

SCREENS = ["metrics", "comparison", "cases", "evaluate", "training"]
SAMPLE = load_samples()[0]
WATCHED: list[set[str]] = []


def _watch(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook, which cannot be taken away again: it does nothing unless somebody watches."""
    if not WATCHED:
        return
    if event == "open":
        path, _, flags = arguments
        if (
            isinstance(path, str | bytes | os.PathLike)
            and isinstance(flags, int)
            and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        ):
            WATCHED[-1].add(os.fsdecode(path))
    elif event in ("os.rename", "os.mkdir", "shutil.copyfile", "socket.connect", "socket.getaddrinfo"):
        WATCHED[-1].add(f"{event} {arguments}")


sys.addaudithook(_watch)


@contextmanager
def watched() -> Iterator[set[str]]:
    """What is opened for writing, made, moved or called over the network by this process while the block runs."""
    WATCHED.append(set())
    try:
        yield WATCHED[-1]
    finally:
        WATCHED.pop()


def test_the_watch_sees_what_it_should(tmp_path: Path):
    with watched() as seen:
        (tmp_path / "a").write_text("x")
        (tmp_path / "a").read_text()
    assert seen == {str(tmp_path / "a")}


def test_a_visit_writes_nothing_and_calls_nobody(monkeypatch: pytest.MonkeyPatch):
    open_app()  # what is imported or compiled once is not a visit
    with watched() as seen:
        app = upload(open_app("single_image"), ("secret-name.png", SAMPLE.png), ("other.png", b"nonsense"))
        assert "secret-name.png" in str(app.dataframe[0].value)
        archive = test_evaluate_screen.zipped(test_evaluate_screen.two_folders())
        app = test_evaluate_screen.upload(test_dashboards.open_app("evaluate"), archive)
        app.button(key="evaluate_start").click().run()
        assert app.success
        for screen in SCREENS:
            assert not test_dashboards.open_app(screen).exception
    escape_formula = (os.devnull, "/dev/null", "/proc/")
    assert not {path for path in seen if not path.startswith(escape_formula) and "__pycache__" not in path}


def test_large_uploads_stay_in_memory():
    body = b"\r\n".join(
        [
            b"--edge",
            b'Content-Disposition: form-data; name="file"; filename="a.nii"',
            b"",
            bytes(8 << 20),
            b"--edge--",
            b"",
        ]
    )

    async def stream() -> AsyncIterator[bytes]:
        yield body

    async def parse() -> bool:
        form = await MultiPartParser(Headers({"content-type": "multipart/form-data; boundary=edge"}), stream()).parse()
        return form["file"].file._rolled

    assert asyncio.run(parse()) is False


def test_too_much_at_once_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(uploads, "TOGETHER", 0.01)
    with pytest.raises(InputError, match=r"hold 0 MB together; give at most 0.01 MB"):
        uploads.check_together(0.02)
    app = upload(open_app("single_image"), ("a.png", SAMPLE.png))
    assert "give at most" in app.error[0].value


def test_the_server_accepts_no_more_than_the_screens_say():
    settings = (REPOSITORY / ".streamlit" / "config.toml").read_text()
    assert f"maxUploadSize = {max(uploads.FILE, uploads.ARCHIVE)}" in settings
    assert 'showErrorDetails = "none"' in settings and "gatherUsageStats = false" in settings


def test_threads_end_with_the_visit():
    open_app("single_image")
    before = threading.active_count()
    for _ in range(5):
        open_app("single_image")
    assert threading.active_count() <= before + 2
