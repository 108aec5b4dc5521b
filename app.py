"""The app: a server that loads the models before anybody comes, and the page it runs for each visitor.

`streamlit run app.py` imports this file for the server, and then runs it once for each action of a visitor. Where a host
only does the latter, the first visitor who needs the models waits for them.
"""

import streamlit as st

if __name__ == "__main__":
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
    st.navigation(demo + evaluation, position="top").run()
else:
    from pages.common.head_start import head_start

    app = st.App(__file__, lifespan=head_start)
