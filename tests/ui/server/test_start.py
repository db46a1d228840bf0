"""How the server starts and ends, as the terminal sees it."""

import errno
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from fashion_core.runs.store import RunStore
from tests.benchmarks.serving import Server, serving
from tests.support.browsing import open_page
from tests.support.processes import python, wait_until
from tests.support.refusing import python_refused


@contextmanager
def server_with_a_desktop(folder: Path, *options: str) -> Iterator[tuple[Server, Path]]:
    """A server that finds a program to open addresses with; and where that notes what it was given."""
    opened = folder / "opened"
    for name in ("xdg-open", "open"):
        program = folder / name
        program.write_text(f'#!/bin/sh\nprintf %s "$1" >"{opened}.part" && mv "{opened}.part" "{opened}"\n')
        program.chmod(0o755)
    with serving(folder, *options, PATH=f"{folder}:{os.environ['PATH']}") as server:
        yield server, opened


@pytest.mark.slow
def test_browser_is_opened_at_the_address_that_the_server_prints(store: RunStore, tmp_path: Path) -> None:
    with server_with_a_desktop(tmp_path, "--server.headless", "false") as (server, opened):
        wait_until(opened.exists, "a browser was asked for")
        assert opened.read_text() == f"http://localhost:{server.port}"
        assert opened.read_text() in server.log.read_text()


@pytest.mark.slow
def test_server_that_starts_keeps_the_path_of_modules_and_what_it_has_imported() -> None:
    """Scripts would change the one while others walk it, and garbage would be looked for in the other."""
    done = python(
        """if True:
        import asyncio, gc, sys
        from streamlit import config
        from streamlit.runtime.scriptrunner.exec_code import modified_sys_path
        from fashion_core.ui.server import start
        import app

        assert {'altair', 'pandas'} <= set(sys.modules)  # before it answers
        assert 'torch' not in sys.modules

        async def run():
            config.set_option("server.headless", True)
            async with start.lifespan(app.app):
                assert gc.get_freeze_count() > 100_000
                places = list(sys.path)
                with modified_sys_path(str(app.app.script_path)):
                    assert sys.path == places

        asyncio.run(run())
        """
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM], ids=lambda sign: sign.name)
def test_headless_server_opens_no_browser_and_ends_when_told_to_while_a_page_is_open(
    store: RunStore, page: Page, tmp_path: Path, sign: signal.Signals
) -> None:
    with server_with_a_desktop(tmp_path) as (server, opened):
        open_page(page, server.url)
        page.get_by_role("button", name="Watch it train").wait_for()
        assert not opened.exists()
        server.process.send_signal(sign)
        server.process.wait(timeout=5)
    assert "Traceback" not in server.log.read_text()


@pytest.mark.slow
@pytest.mark.browser
def test_a_disk_without_locks_is_said_in_the_terminal_and_on_every_page(
    store: RunStore, tmp_path: Path, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(python_refused(tmp_path, "flock", errno.ENOLCK)))
    with serving(tmp_path) as server:
        said = f"Locks don't work in {store.root} (No locks available)"
        assert said in server.log.read_text()
        for name in ("", "/train", "/resume"):
            open_page(page, f"{server.url}{name}")
            expect(page.get_by_text(said)).to_be_visible()
