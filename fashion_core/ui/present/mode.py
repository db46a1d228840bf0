"""The look of the pages, and the switch to the one for a room: ``present=1`` in the address."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlencode, urlsplit

import segno
import streamlit as st

from fashion_core.access import addresses
from fashion_core.errors import ConfigError
from fashion_core.ui import address, common, login
from fashion_core.ui.common import PRESENT
from fashion_core.ui.present import texts

CODE: Final = "code for phones is open"
_HERE: Final = Path(__file__).parent
_ALWAYS, _IN_A_ROOM = ((_HERE / name).read_text() for name in ("page.css", "present.css"))


def show(pages: Sequence[st.Page]) -> None:
    """Style the page, and put into the sidebar what a presenter needs; there the menu of pages waits meanwhile."""
    presenting = address.is_on(PRESENT, "0", "1")
    st.html(f"<style>{_ALWAYS}{_IN_A_ROOM if presenting else ''}</style>")
    with st.sidebar:
        for page in pages if presenting else ():
            address.link(page, page.title, page.icon)
        _show_switch(presenting)
        if presenting and login.is_shared():
            _offer_code()
        else:
            _close_code()


def _show_switch(presenting: bool) -> None:
    st.session_state[PRESENT] = presenting
    st.toggle(
        texts.PRESENT,
        key=PRESENT,
        on_change=lambda: address.go(present="1" if st.session_state[PRESENT] else None),
        help=texts.PRESENT_HELP,
    )


def _offer_code() -> None:
    """Until somebody closes it, each run of the page opens the code again: the page of a run reruns by itself."""
    if st.button(texts.CODE_FOR_PHONES, icon=":material/qr_code_2:"):
        st.session_state[CODE] = True
    if st.session_state.get(CODE):
        common.dialog(texts.ON_YOUR_PHONE, _close_code, width="large")(_show_code)()


def _close_code() -> None:
    st.session_state[CODE] = False


def _show_code() -> None:
    here = str(st.context.url or "")
    if addresses.is_loopback(urlsplit(here).hostname):
        st.info(texts.LOCALHOST, icon=":material/info:")
        return
    query = {name: st.query_params.get_all(name) for name in st.query_params if name != PRESENT}
    with common.problems_shown():
        code = qr_code(f"{here}?{urlencode(query, doseq=True)}".rstrip("?"))
        st.image(code, width="stretch", alt=texts.CODE_OF_ADDRESS)
    if login.everyone_may_act():
        st.warning(texts.EVERYONE_MAY_ACT, icon=":material/lock_open:")


def qr_code(text: str) -> str:
    """As SVG, black on white in any theme, with the margin that the standard asks for.

    Raises ``ConfigError`` for more than the 2,953 bytes that one holds.
    """
    try:
        svg: str = segno.make(text, micro=False).svg_inline(scale=8, light="white")
    except segno.DataOverflowError as error:
        raise ConfigError(texts.TOO_LONG_FOR_CODE) from error
    return svg
