"""Page configuration and navigation; every screen is a file under pages/."""

import streamlit as st

st.set_page_config(page_title="Brain-tumour segmentation", page_icon="pages/common/icon.png", layout="wide")

# The screens lie one folder deep: Streamlit's own discovery of pages/*.py would otherwise serve them without this file.
st.navigation(
    [
        st.Page("pages/demo/overview.py", title="Overview", icon=":material/home:", default=True),
        st.Page("pages/demo/single_image.py", title="Single image", icon=":material/radiology:", url_path="single-image"),
    ],
    position="top",
).run()
