"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

from fashion_core import ui

PAGES = [
    st.Page("pages/overview.py", title="Overview", icon=":material/dashboard:", default=True),
    st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
    st.Page("pages/checkpoints.py", title="Checkpoints", icon=":material/save:"),
    st.Page("pages/resume.py", title="Resume", icon=":material/replay:"),
    st.Page("pages/predict.py", title="Predict", icon=":material/image_search:"),
    st.Page("pages/lesson.py", title="Lesson", icon=":material/school:"),
]

st.set_page_config(page_title="Fashion Core", page_icon="👕", layout="wide")
ui.enter_app()
ui.navigation(PAGES).run()
