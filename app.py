"""The app: a server that loads the models before anybody comes, and the page it runs for each visitor.

`streamlit run app.py` imports this file for the server, and then runs it once for each action of a visitor. Where a host
only does the latter, the first visitor who needs the models waits for them.
"""

import streamlit as st


def navigation():
    """The screens. They lie one folder deep, because Streamlit serves files right under pages/ without this one."""
    demo = [
        st.Page("pages/demo/overview.py", title="Overview", icon=":material/home:", default=True),
        st.Page("pages/demo/single_image.py", title="Single image", icon=":material/radiology:", url_path="single-image"),
        st.Page("pages/demo/volume.py", title="Volume", icon=":material/view_in_ar:", url_path="volume"),
        st.Page("pages/demo/slideshow.py", title="Slideshow", icon=":material/slideshow:", url_path="slideshow"),
        st.Page("pages/demo/play.py", title="Play", icon=":material/sports_esports:", url_path="play"),
    ]
    evaluation = [
        st.Page("pages/evaluation/metrics.py", title="Metrics", icon=":material/monitoring:", url_path="metrics"),
        st.Page("pages/evaluation/comparison.py", title="Comparison", icon=":material/balance:", url_path="comparison"),
        st.Page("pages/evaluation/cases.py", title="Cases", icon=":material/grid_view:", url_path="cases"),
        st.Page("pages/evaluation/training.py", title="Training", icon=":material/timeline:", url_path="training"),
        st.Page("pages/evaluation/evaluate.py", title="Evaluate", icon=":material/upload:", url_path="evaluate"),
        st.Page("pages/demo/about.py", title="About", icon=":material/info:", url_path="about"),
    ]
    return st.navigation(demo + evaluation, position="top")


if __name__ == "__main__":
    from pages.common.theme import apply_theme

    st.set_page_config(page_title="Brain-tumour segmentation", page_icon="pages/common/icon.png", layout="wide")
    page = navigation()
    apply_theme(page.title)
    page.run()
else:
    from pages.common.server import hide_warnings_of_start, keep_memory_small, lifespan

    hide_warnings_of_start()
    keep_memory_small()

    # Until the first st.navigation of a server, Streamlit looks for screens in the files right under pages/, where there are
    # none, and a link to a screen would open the first one. Called here, before there is a visitor, every link holds.
    navigation()
    app = st.App(__file__, lifespan=lifespan)
