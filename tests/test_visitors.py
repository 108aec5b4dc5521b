"""What visitors share: a place in line, and results that are kept while there is room."""

import threading
import time

import numpy as np
import pandas as pd
import pytest

from pages.common import own
from pages.common.kept import Kept
from pages.common.once import once
from pages.common.turns import Turns
from resunet.errors import InputError


class Gone(Exception):
    """The visitor has left."""


def nobody(ahead: int) -> None:
    pytest.fail(f"there are {ahead} before me")


def in_line(turns: Turns, count: int) -> None:
    """Wait until so many stand in line."""
    deadline = time.monotonic() + 5
    while len(turns._line) != count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_turns_go_in_the_order_of_arrival_and_one_at_a_time():
    turns, order, places, holders = Turns(limit=10), [], {}, []

    def visit(number: int) -> None:
        with turns.take(lambda ahead: places.setdefault(number, []).append(ahead)):
            holders.append(number)
            assert holders == [number]
            order.append(number)
            time.sleep(0.01)
            holders.remove(number)

    with turns.take(nobody):
        threads = []
        for number in range(6):
            threads.append(threading.Thread(target=visit, args=(number,)))
            threads[-1].start()
            in_line(turns, number + 2)
    for thread in threads:
        thread.join()
    assert order == list(range(6))
    assert [seen[0] for seen in places.values()] == [1, 2, 3, 4, 5, 6]
    assert all(seen == sorted(seen, reverse=True) for seen in places.values())


def test_who_leaves_gives_the_place_up():
    turns = Turns(limit=10)

    def leave(ahead: int) -> None:
        raise Gone

    with turns.take(nobody):
        with pytest.raises(Gone), turns.take(leave):
            pytest.fail("it was not my turn")
        assert len(turns._line) == 1
    with turns.take(nobody):
        pass


def test_a_failure_in_a_turn_lets_the_next_one_in():
    turns = Turns(limit=1)
    with pytest.raises(ValueError, match="broken"), turns.take(nobody):
        raise ValueError("broken")
    with turns.take(nobody):
        pass


def test_a_full_line_is_refused_with_a_sentence():
    turns = Turns(limit=1)
    with (
        turns.take(nobody),
        pytest.raises(InputError, match=r"Too many visitors are waiting \(1\); try again in a minute"),
        turns.take(nobody),
    ):
        pass


def test_results_are_kept_by_weight_and_the_oldest_goes_first():
    kept: Kept[np.ndarray] = Kept(1000, lambda array: array.nbytes)
    for name in "abc":
        kept.put(name, np.zeros(300, np.uint8))
    assert kept.get("a") is not None  # asked for: no longer the oldest
    kept.put("d", np.zeros(300, np.uint8))
    assert kept.get("b") is None
    assert all(kept.get(name) is not None for name in "acd") and kept.weight == 900


def test_what_is_too_heavy_is_given_back_and_not_kept():
    kept: Kept[np.ndarray] = Kept(1000, lambda array: array.nbytes)
    kept.put("small", np.zeros(900, np.uint8))
    heavy = np.zeros(1001, np.uint8)
    assert kept.put("heavy", heavy) is heavy
    assert kept.get("heavy") is None and kept.get("small") is not None


def test_a_result_is_computed_once_for_the_same_tables_and_values():
    calls = []

    def total(tables: dict[str, pd.DataFrame], names: list[str], power: float | None) -> int:
        calls.append(power)
        return sum(int(tables[name]["n"].sum()) for name in names)

    one, other = pd.DataFrame({"n": [1, 2]}), pd.DataFrame({"n": [5, 6]})
    assert once("test", total, {"a": one}, ["a"], 0.5) == 3
    assert once("test", total, {"a": one}, ["a"], 0.5) == 3  # a new dict and list of the same
    assert len(calls) == 1
    assert once("test", total, {"a": other}, ["a"], 0.5) == 11
    assert once("test", total, {"a": one, "b": other}, ["b"], 0.5) == 11
    assert once("test", total, {"a": one}, ["a"], None) == 3
    assert calls == [0.5, 0.5, 0.5, None]


def test_a_new_table_in_the_place_of_an_old_one_is_not_taken_for_it():
    def total(table: pd.DataFrame) -> int:
        return int(table["n"].sum())

    found = [once("test", total, pd.DataFrame({"n": [number]})) for number in range(50)]
    assert found == list(range(50))


def test_what_is_made_of_a_visitors_own_data_is_not_kept():
    calls = []
    table = pd.DataFrame({"n": [1]})
    for _ in range(2):
        once(own.PROTOCOL, lambda found: calls.append(len(found)), table)
    assert calls == [1, 1]


def test_visitors_who_ask_at_once_share_one_computation():
    calls = []

    def slow(table: pd.DataFrame) -> int:
        calls.append(1)
        time.sleep(0.2)
        return len(table)

    table, found = pd.DataFrame({"n": [1]}), []
    threads = [threading.Thread(target=lambda: found.append(once("test", slow, table))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [1] * 5
    assert calls == [1]
