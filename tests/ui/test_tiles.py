"""Numbers as HTML: what a page puts into itself must be safe, whatever a run is called."""

from fashion_core.ui.live import tiles
from fashion_core.ui.live.tiles import Tile


def test_tile_has_its_label_value_change_and_note() -> None:
    html = Tile("Test loss", "0.5", "↓ 0.1", "good", "Less is better.").group()
    what, said = (
        "<dt>Test loss</dt><dd>0.5</dd>",
        '<dd class="change good">↓ 0.1</dd><dd class="note">Less is better.</dd>',
    )
    assert html == f"<div>{what}{said}</div>"


def test_tile_without_a_change_has_no_place_for_one() -> None:
    assert Tile("Test loss", "–").group() == "<div><dt>Test loss</dt><dd>–</dd></div>"


def test_nothing_in_a_word_is_markup() -> None:
    bad = '"><img src=x onerror=alert(1)>'
    html = tiles.html(bad, 0.5, [[Tile(bad, bad, bad, note=bad)]])
    assert html.count("&quot;&gt;&lt;img src=x onerror=alert(1)&gt;") == 6
    assert bad not in html


def test_bar_has_the_share() -> None:
    assert '<progress value="0.2500" aria-label="epoch 1 of 4">' in tiles.html("epoch 1 of 4", 0.25, [])
