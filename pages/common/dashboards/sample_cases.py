"""An evaluation on the bundled samples, whose slices can be shown everywhere: what Cases opens on without a data set."""

from __future__ import annotations

import streamlit as st

from pages.common import loaders, models
from pages.common.dashboards import evaluations
from pages.common.dashboards.evaluations import SAMPLES_SET
from resunet.data.samples import SAMPLES, load_samples
from resunet.data.slices import SliceRecord
from resunet.evaluation.evaluation import Evaluation


def find(model: str) -> Evaluation | None:
    """The samples as a model outlines them; None for a model that knows other pictures. Raises InputError."""
    return _measured(model, models.revision_of(model)) if loaders.model_config(model).channels == 3 else None


@st.cache_resource(show_spinner="Outlining the samples")
def _measured(model: str, revision: str) -> Evaluation:
    records = [
        SliceRecord(sample.name, 1, SAMPLES / "images" / f"{sample.name}.png", SAMPLES / "masks" / f"{sample.name}.png")
        for sample in load_samples()  # none is another's neighbour
    ]
    return evaluations.measure(model, (SAMPLES_SET, model, revision), records)
