"""Page configuration, navigation, and a head start for the models; every screen is a file under pages/."""

import streamlit as st

from pages.common.models import warm_up

st.set_page_config(page_title="Brain-tumour segmentation", page_icon="pages/common/icon.png", layout="wide")

# The screens lie one folder deep. Until the first st.navigation of a server, Streamlit routes by the files right under
# pages/ and knows no others: those are one-line doors to this file, so that a shared link opens a fresh server too.
demo = [
    st.Page("pages/demo/overview.py", title="Overview", icon=":material/home:", default=True),
    st.Page("pages/demo/single_image.py", title="Single image", icon=":material/radiology:", url_path="single-image"),
    st.Page("pages/demo/stage.py", title="Stage", icon=":material/slideshow:", url_path="stage"),
]
evaluation = [
    st.Page("pages/evaluation/metrics.py", title="Metrics", icon=":material/monitoring:", url_path="metrics"),
    st.Page("pages/evaluation/comparison.py", title="Comparison", icon=":material/balance:", url_path="comparison"),
    st.Page("pages/evaluation/cases.py", title="Cases", icon=":material/grid_view:", url_path="cases"),
    st.Page("pages/evaluation/own_data.py", title="Evaluate", icon=":material/upload:", url_path="evaluate"),
    st.Page("pages/evaluation/training.py", title="Training", icon=":material/timeline:", url_path="training"),
]
screen = st.navigation(demo + evaluation, position="top")
if screen in demo:
    warm_up()
screen.run()
warm_up()  # the others are drawn first: importing PyTorch takes the interpreter for seconds, and they do without
