"""Run on every visit: the page menu, the login, and then the requested page.

It lies among the pages: beside their folder, a fresh server would run a page by its address, before the login.
"""

import streamlit as st

from fashion_core.runs import torch_process
from fashion_core.ui import address, common, login
from fashion_core.ui.present import mode
from fashion_core.ui.server import start
from pages import texts

PAGES = [
    st.Page("overview.py", title=texts.OVERVIEW, icon=":material/dashboard:", default=True),
    st.Page("train.py", title=texts.TRAIN, icon=":material/model_training:"),
    st.Page("checkpoints.py", title=texts.CHECKPOINTS, icon=":material/save:"),
    st.Page("resume.py", title=texts.RESUME, icon=":material/replay:"),
    st.Page("predict.py", title=texts.PREDICT, icon=":material/image_search:"),
    st.Page("lesson.py", title=texts.LESSON, icon=":material/school:"),
]

# First: the icon of a page would be fetched from outside.
st.set_page_config(page_icon="👕", layout="wide", initial_sidebar_state="collapsed")
torch_process.ask_early()
page = login.navigation(PAGES)
st.set_page_config(page_title=texts.BROWSER_TITLE.format(page=page.title))
common.begin_page()
if login.visitor():
    mode.show(PAGES)
    address.say_unknown(page.url_path)
    start.show_problems()
with common.problems_shown():
    if login.let_in():
        page.run()
