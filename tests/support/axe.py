"""What axe-core finds on a page.

``axe-core/axe.min.js`` is axe-core 4.14.1 from npm, unchanged, under the Mozilla Public License 2.0 beside it; its
source is at https://github.com/dequelabs/axe-core.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page

COUNTED = {"moderate", "serious", "critical"}
RUN = "() => axe.run(document, {resultTypes: ['violations']}).then((found) => found.violations)"
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = (1280, 390)


@cache
def _axe() -> str:
    return (Path(__file__).parent / "axe-core" / "axe.min.js").read_text()


def violations(page: Page) -> dict[str, list[str]]:
    """Each element that breaks a rule, in light and dark, on a desk and on a phone, by where that was."""
    page.evaluate(_axe())
    page.add_style_tag(content=STILL)
    return {
        f"{scheme}, {width} px": [*map(str, _broken(page, scheme, width))] for scheme in SCHEMES for width in WIDTHS
    }


def _broken(page: Page, scheme: Literal["light", "dark"], width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "scheme => getComputedStyle(document.querySelector('.stApp')).colorScheme === scheme", arg=scheme
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: list[dict[str, Any]] = page.evaluate(RUN)
    return [
        f"{rule['id']}: {node['html'][:150]}: {node['failureSummary'][:300]}"
        for rule in found
        if rule["impact"] in COUNTED
        for node in rule["nodes"]
    ]
