"""A page for paper: it holds what the screen says, by itself, and nothing that a file's name could smuggle in."""

import re

import numpy as np

from resunet.data.samples import load_samples
from resunet.reports.one_page import one_page
from resunet.reports.volume_report import shown_slices
from tests.conftest import bundled

PICTURE = np.zeros((8, 8, 3), np.uint8)


def test_the_page_stands_alone_and_says_everything():
    page = one_page("a", "Tumour found", "P(tumour) 99%.", [(PICTURE, "The slice")] * 2, {"Model": "Mine"}, ["A remark."])
    assert page.count("<img") == 2 and not re.search(r"(src|href)=\"(?!data:)|https?://|<script", page)
    for words in ("Tumour found", "P(tumour) 99%.", "The slice", "Mine", "A remark.", "Research use only"):
        assert words in page


def test_names_are_text():
    page = one_page("<script>x</script>", "&", "<b>", [], {"<i>": '"'}, [])
    assert "<script>" not in page and "<b>" not in page and "<i>" not in page


def test_the_slices_shown_are_the_widest_and_its_neighbours():
    mask = np.zeros((20, 4, 4), bool)
    assert shown_slices(mask) == [10]
    mask[4:12, 0, 0] = True
    mask[7, :, :] = True
    assert shown_slices(mask) == [5, 7, 9]


def test_a_slices_page_is_offered_and_holds_its_figures():
    from pages.common.slices.shown_slice import ShownSlice
    from pages.common.slices.slice_panel import printed_page

    sample = next(sample for sample in load_samples() if sample.name == "large_1")
    prediction = bundled().predict(sample.image)
    page = printed_page(ShownSlice("A sample", sample.digest, 0, sample.image, sample.mask), prediction, "resunet_lite")
    assert f"{int(prediction.mask.sum()):,} pixels" in page and "ResUNet-Lite" in page and "Dice 0.969" in page
