"""Pages of the dashboard, run without a browser, and the words on them."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from html import unescape
from typing import Any
from urllib.parse import parse_qsl

from streamlit import config
from streamlit.components.v2 import manifest_scanner
from streamlit.testing.v1 import AppTest

from tests.support.processes import ROOT

# Each AppTest reads the metadata of every installed package four times; here none is installed meanwhile.
setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))  # noqa: B010


def dashboard(page: str = "overview", /, **query: str) -> AppTest:
    app = AppTest.from_file(str(ROOT / "pages" / "dashboard.py"), default_timeout=60).switch_page(f"{page}.py")
    for key, value in query.items():
        app.query_params[key] = value
    return app


@contextmanager
def streamlit_option(name: str, value: object) -> Iterator[None]:
    before, where = config.get_option(name), config.get_where_defined(name)
    config.set_option(name, value)
    try:
        yield
    finally:
        config.set_option(name, before, where)


def sent(app: AppTest) -> str:
    """All text that the browser is sent for a page, tables and charts included, without the bar of pages.

    ``str(app.main)`` shows the kinds of the elements, not their text.
    """
    parts = [proto.SerializeToString() for node in app.main if (proto := getattr(node, "proto", None)) is not None]
    return b"\n".join(parts).decode(errors="replace").replace("\\", "").replace("\u2060", "")


def shown_numbers(app: AppTest) -> dict[str, str]:
    (metrics,) = app.get("bidi_component")
    pairs = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", json.loads(metrics.proto.json)["numbers"])
    return {label: unescape(value) for label, value in pairs}


def rows_of_charts(app: AppTest) -> list[list[bytes]]:
    return [[data.data.data for data in chart.proto.datasets] for chart in app.get("vega_lite_chart")]


def open_page(name: str, **query: str) -> AppTest:
    app = dashboard(name, **query).run()
    assert not app.exception
    return app


def scripts(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def filled_in(app: AppTest) -> dict[str, str]:
    """The whole address that the page gives a browser, which runs it again with that; empty if it gives none."""
    found = re.findall(r"replaceState\(\{\}, '', location\.pathname \+ '\?(.*?)'\)", scripts(app))
    return dict(parse_qsl("".join(found)))


def led(app: AppTest) -> AppTest:
    """The page that the browser opens next, if it is told to open one."""
    if found := re.search(r"pushState\(.*, '/(\w+)\?(.*?)'\)", scripts(app)):
        app.switch_page(f"{found[1]}.py").query_params.clear()
        app.query_params.update(dict(parse_qsl(found[2])))
        app.run()
    return app


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def press(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click().run()
    assert not app.exception
    return led(app)


def widget(app: AppTest, label: str) -> Any:
    return next(w for w in [*app.number_input, *app.selectbox, *app.text_input, *app.multiselect] if w.label == label)


def texts(app: AppTest) -> str:
    return "\n".join(str(element.value) for element in [*app.markdown, *app.caption, *app.error, *app.warning])


def words(app: AppTest) -> str:
    """All text of the page as it is read: without escapes and invisible joiners."""
    shown = [*app.header, *app.markdown, *app.caption, *app.error, *app.info, *app.warning, *app.success]
    return as_read("\n".join(element.value for element in shown))


def as_read(text: str) -> str:
    """Markdown whose escapes are not shown."""
    return text.replace("\\", "").replace("\u2060", "")
