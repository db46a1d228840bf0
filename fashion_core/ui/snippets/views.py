"""The Predict page's scripts in plain PyTorch."""

import streamlit as st

from fashion_core.ui.saved_file import Chosen
from fashion_core.ui.snippets import scripts
from fashion_core.ui.snippets.target import stored_target

ONE, ALL = "one image", "all test images"


def show_snippet(chosen: Chosen) -> None:
    """The script for one image of your own, or for the whole test set."""
    found = chosen.contents.inspection
    target = stored_target(found, chosen.file) if found else None
    if target is None:
        st.info("No known model fits this file, so there is no script that uses it.", icon=":material/info:")
        return
    config = chosen.run.record.config
    what = st.segmented_control("For", [ONE, ALL], default=ONE, required=True, label_visibility="collapsed")
    one = what == ONE
    own = "how images are prepared" if one else "the synthetic garments" if config.dataset == "synthetic" else None
    if own:
        st.caption(f"All of it is PyTorch but {own}: that is imported from this package.")
    script = scripts.predicting_script(target, config.pixels) if one else ""
    st.code(script or scripts.evaluating_script(target, config), language="python")
