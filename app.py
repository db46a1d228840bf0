"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

st.set_page_config(page_title="Fashion Core", page_icon="👕", layout="wide")

PAGES = [
    st.Page("pages/overview.py", title="Overview", icon=":material/dashboard:", default=True),
    st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
]

st.navigation(PAGES, position="top").run()
