"""What axe-core finds on a page.

``axe-core/axe.min.js`` is axe-core 4.14.1 from npm, unchanged, under the Mozilla Public License 2.0 beside it; its
source is at https://github.com/dequelabs/axe-core.
"""

from functools import cache
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Page

COUNTED = {"moderate", "serious", "critical"}
RUN = "(options) => axe.run(document, {resultTypes: ['violations'], ...options}).then((found) => found.violations)"
STILL = "*, *::before, *::after { transition: none !important; animation: none !important; }"
Scheme = Literal["light", "dark"]
LOOKS: tuple[tuple[Scheme, int], ...] = (("light", 1280), ("light", 390), ("dark", 390), ("dark", 1280))
RULES: dict[Scheme, dict[str, Any]] = {"light": {}, "dark": {"runOnly": ["color-contrast", "link-in-text-block"]}}
"""All that axe-core runs by itself, and in the dark those of them that see colours."""


@cache
def _axe() -> str:
    return (Path(__file__).parent / "axe-core" / "axe.min.js").read_text()


def violations(page: Page) -> dict[str, list[str]]:
    """Each element that breaks a rule, in light and dark, on a desk and on a phone, by where that was."""
    page.evaluate(_axe())
    page.add_style_tag(content=STILL)
    return {f"{scheme}, {width} px": _broken(page, scheme, width) for scheme, width in LOOKS}


def _broken(page: Page, scheme: Scheme, width: int) -> list[str]:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)
    page.wait_for_function(
        "scheme => getComputedStyle(document.querySelector('.stApp')).colorScheme === scheme", arg=scheme
    )
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    found: list[dict[str, Any]] = page.evaluate(RUN, RULES[scheme])
    return [
        f"{rule['id']}: {node['html'][:150]}: {node['failureSummary'][:300]}"
        for rule in found
        if rule["impact"] in COUNTED
        for node in rule["nodes"]
    ]
