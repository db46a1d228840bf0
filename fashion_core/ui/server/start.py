"""What a server does when it starts."""

import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import streamlit as st

from fashion_core.errors import ConfigError
from fashion_core.runs import lock
from fashion_core.runs.launchers import engines
from fashion_core.runs.store import RunStore
from fashion_core.ui import common, streamlit_internals

_problems: list[str] = []  # of the store of runs, found when the server started


@asynccontextmanager
async def lifespan(app: st.App) -> AsyncIterator[None]:
    """Check the store of runs, and open a browser, unless the server is headless.

    The garbage collector skips what has been imported by now, which saves visitors pauses of 0.1 s.
    The folder of the pages stays in ``sys.path``: Streamlit would add it for each run of a script and remove it after,
    while another visitor's script walks that list to find a module, and skips an entry.
    """
    sys.path.append(str(app.script_path.parent))
    gc.collect()
    gc.freeze()
    _check_store()
    if not st.get_option("server.headless"):
        streamlit_internals.open_browser()  # the socket of `streamlit run` listens already
    yield


def _check_store() -> None:
    """Say in the terminal what its file system does not do; a folder that can't be named is said by every page.

    Say too why no run could start.
    """
    with suppress(ConfigError):
        _problems[:] = lock.store_problems(RunStore().root)
    try:
        engines.chosen()
    except ConfigError as error:
        _problems.append(str(error))
    for problem in _problems:
        print(problem, file=sys.stderr, flush=True)


def show_problems() -> None:
    for problem in _problems:
        st.warning(common.plain(problem), icon=":material/warning:")
