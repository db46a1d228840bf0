"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

# Most of what pages stand on takes a second to import: the server does so before it answers, and no visitor waits.
from fashion_core import charts, serving, ui  # noqa: F401

app = st.App("pages/dashboard.py", lifespan=serving.lifespan)
