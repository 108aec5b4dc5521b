"""What visitors share: a place in line, and results that are kept while there is room."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import streamlit as st

from pages.common import models, predictions
from pages.common.dashboards.caching import computed, of_slices
from pages.common.uploads import ImageFile
from resunet.data.samples import SAMPLES
from resunet.errors import InputError
from resunet.evaluation.evaluation import Evaluation
from resunet.evaluation.measure import Measurements
from resunet.evaluation.sweep import stack
from resunet.inference.fair_lock import FairLock
from resunet.inference.pipeline import Prediction
from resunet.model_folder import CleanUp
from resunet.reading.readers import read_scan
from resunet.reading.scan import Scan


@pytest.fixture(autouse=True)
def empty_caches() -> None:
    st.cache_resource.clear()


class Gone(Exception):
    """The visitor has left."""


def nobody(ahead: int) -> None:
    pytest.fail(f"there are {ahead} before me")


def in_another_thread(job: Callable[[], None]) -> None:
    """Run the job to its end; what it raises is raised here."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(job).result()


def in_line(lock: FairLock, count: int) -> None:
    """Wait until so many stand in line."""
    deadline = time.monotonic() + 5
    while lock.length != count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_lock_goes_round_in_the_order_of_arrival_and_one_at_a_time():
    lock, order, places, holders = FairLock(limit=10), [], {}, []

    def visit(number: int) -> None:
        with lock.hold(lambda ahead: places.setdefault(number, []).append(ahead)):
            holders.append(number)
            assert holders == [number]
            order.append(number)
            time.sleep(0.01)
            holders.remove(number)

    with lock.hold(nobody):
        threads = []
        for number in range(6):
            threads.append(threading.Thread(target=visit, args=(number,)))
            threads[-1].start()
            in_line(lock, number + 2)
    for thread in threads:
        thread.join()
    assert order == list(range(6))
    assert [seen[0] for seen in places.values()] == [1, 2, 3, 4, 5, 6]
    assert all(seen == sorted(seen, reverse=True) for seen in places.values())


def test_who_leaves_gives_the_place_up():
    lock = FairLock(limit=10)

    def leave(ahead: int) -> None:
        raise Gone

    def visit() -> None:
        with pytest.raises(Gone), lock.hold(leave):
            pytest.fail("the lock was held by two")

    with lock.hold(nobody):
        in_another_thread(visit)
        assert lock.length == 1
    with lock.hold(nobody):
        pass


def test_a_failure_lets_the_next_one_in():
    lock = FairLock(limit=1)
    with pytest.raises(ValueError, match="broken"), lock.hold(nobody):
        raise ValueError("broken")
    with lock.hold(nobody):
        pass


def test_a_full_line_is_refused_with_a_sentence():
    lock, refusals = FairLock(limit=1), []

    def ask() -> None:
        try:
            with lock.hold(nobody):
                pytest.fail("the lock was held by two")
        except InputError as error:
            refusals.append(str(error))

    with lock.hold(nobody):
        in_another_thread(ask)
    assert refusals == ["Too many requests are waiting (1); try again in a minute."]


def test_who_holds_the_lock_may_take_it_again():
    lock = FairLock(limit=1)
    with lock.hold(nobody):
        with lock.hold(nobody):
            assert lock.length == 1
        assert lock.length == 1
    assert lock.length == 0


MEASURED = Measurements(pd.DataFrame(), stack([]), None)


def evaluation(key: str, rows: int, is_private: bool = False) -> Evaluation:
    table = pd.DataFrame({"n": range(rows)})
    return Evaluation("mine", "Mine", "test", (key,), {}, table, measured=MEASURED if is_private else None)


CALLS: list[int] = []


def rows_of(tables: dict[str, pd.DataFrame], factor: float) -> int:
    CALLS.append(sum(map(len, tables.values())) * int(factor))
    return CALLS[-1]


def test_a_result_is_computed_once_for_equal_keys_and_values():
    CALLS.clear()
    assert of_slices(rows_of, {"a": evaluation("one", 2)}, 1) == of_slices(rows_of, {"a": evaluation("one", 2)}, 1) == 2
    assert of_slices(rows_of, {"a": evaluation("one", 2)}, 10) == 20
    assert of_slices(rows_of, {"a": evaluation("other", 3)}, 1) == 3
    assert of_slices(rows_of, {"b": evaluation("one", 2)}, 1) == 2
    assert of_slices(len, evaluation("one", 2)) == 2
    assert CALLS == [2, 20, 3, 2]


def test_what_is_made_of_a_visitors_own_data_is_not_kept():
    CALLS.clear()
    for _ in range(2):
        assert of_slices(rows_of, {"a": evaluation("public", 2), "b": evaluation("mine", 1, is_private=True)}, 1) == 3
    assert CALLS == [3, 3]
    for _ in range(2):  # nor where it comes in a list
        assert computed(count_of, [evaluation("public", 2), evaluation("mine", 1, is_private=True)]) == 3
    assert CALLS == [3, 3, 3, 3]


def count_of(evaluations: list[Evaluation]) -> int:
    CALLS.append(sum(len(one.slices) for one in evaluations))
    return CALLS[-1]


def slow(asked: Evaluation) -> int:
    CALLS.append(0)
    time.sleep(0.2)
    return len(asked.slices)


def test_visitors_who_ask_at_once_share_one_computation():
    CALLS.clear()
    results: list[int] = []
    threads = [threading.Thread(target=lambda: results.append(computed(slow, evaluation("one", 4)))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [4] * 5 and CALLS == [0]


def test_visitors_who_ask_for_one_slice_at_once_cost_one_forward_pass(monkeypatch: pytest.MonkeyPatch):
    passes: list[int] = []

    class Slow:
        def predict(self, image: np.ndarray, **options: object) -> Prediction:
            passes.append(1)
            time.sleep(0.3)
            empty = np.zeros(image.shape[:2], np.float32)
            return Prediction(0.1, 0.0, 0.5, CleanUp(), empty, empty)

    monkeypatch.setattr(models, "pipeline_of", lambda name: Slow())
    image = np.zeros((32, 32, 3), np.uint8)
    results: list[Prediction] = []
    ask = lambda: results.append(predictions.predict("twelve", 0, image, tta=False))  # noqa: E731
    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passes) == 1 and len(results) == 12 and all(result is results[0] for result in results)


def test_a_slow_picture_lets_others_wait_in_line_and_volumes_pass(monkeypatch: pytest.MonkeyPatch):
    release, read = threading.Event(), []

    class Slow:
        def read(self, content: bytes, name: str) -> Scan:
            assert name != "slow.png" or release.wait(10)
            read.append(name)
            return read_scan(SAMPLES / "images" / "large_1.png")

    monkeypatch.setattr(predictions, "decoder", Slow)
    files = [ImageFile(name, name.encode(), f"digest of {name}") for name in ("slow.png", "quick.png")]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(predictions.decode, files[0])
        in_line(predictions.PICTURES, 1)
        second = pool.submit(predictions.decode, files[1])
        in_line(predictions.PICTURES, 2)
        assert predictions.CASES.length == 0 and not second.done()
        release.set()
        assert len(first.result().slices) == len(second.result().slices) == 1
    assert read == ["slow.png", "quick.png"] and predictions.PICTURES.length == 0
