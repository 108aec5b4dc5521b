"""Single image: choose or drop in a slice, see at once whether there is a tumour, how sure the system is, and where."""

import streamlit as st

from pages.common import loaders, models
from pages.common.messages import show_error
from pages.common.slices import slice_panel as viewer
from pages.common.slices import slice_sources
from resunet.errors import InputError

ENHANCED = "Contrast-enhanced T1"
CHOICES = {
    "Samples": slice_sources.choose_sample,
    ENHANCED: slice_sources.choose_enhanced_sample,
    "Upload": slice_sources.choose_upload,
    "LGG patients": slice_sources.choose_patient,
}

offered = [name for name in CHOICES if name != "LGG patients" or loaders.lgg_patients()]
start = "LGG patients" if "patient" in st.query_params and "LGG patients" in offered else "Samples"
if st.query_params.get("sample") in {sample.name for sample in loaders.enhanced_samples()}:
    start = ENHANCED
choice = st.segmented_control(
    "Where the slice comes from", offered, default=start, required=True, key="source", label_visibility="collapsed"
)
try:
    models.pipeline()
    case = CHOICES[choice]()
    if case is not None:
        viewer.show(case)
except InputError as error:
    show_error(error)
    st.button("Try again", icon=":material/refresh:", key="again")  # what failed is not kept: a rerun is a new attempt
