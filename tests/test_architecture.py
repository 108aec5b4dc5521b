"""Rules of the house that no linter knows. Who may import what is in pyproject.toml; `make lint` holds it."""

from collections import Counter

from tests.conftest import REPOSITORY

ROOTS = ("resunet", "pages")


def test_no_screen_lies_where_streamlit_would_serve_it_by_itself():
    assert not list((REPOSITORY / "pages").glob("*.py"))


def test_no_file_name_stands_for_two_things():
    names = Counter(path.name for root in ROOTS for path in (REPOSITORY / root).rglob("*.py") if path.stem != "__init__")
    assert {name for name, count in names.items() if count > 1} == set()
