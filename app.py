"""The dashboard: ``streamlit run app.py``."""

import streamlit as st

# What pages stand on takes a second to import: here it is done before the server answers, for no visitor to wait for.
from fashion_core import charts as charts
from fashion_core import serving
from fashion_core import ui as ui

app = st.App("pages/dashboard.py", lifespan=serving.lifespan)
