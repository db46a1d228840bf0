"""Whether resuming helped, and the tree of runs, for the Resume page and the lesson."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Final, Literal, cast

import pandas as pd
import streamlit as st

from fashion_core.cache import Cache
from fashion_core.charts.base import ChartSpec
from fashion_core.charts.branches import branch_chart
from fashion_core.charts.comparison import FOCUS, TALLEST, comparison_chart
from fashion_core.charts.lineage import CHECKPOINT, lineage_chart
from fashion_core.charts.texts import COMPARISON_KEY, LINEAGE_KEY
from fashion_core.data.description import images_label
from fashion_core.errors import printable
from fashion_core.resume import answers, comparison, tables
from fashion_core.resume.comparison import Compared, LossNow, Outline
from fashion_core.resume.labels import percent
from fashion_core.resume.tables import Losses, Sort, branches_frame, compared_frame
from fashion_core.resume.texts import SAME_SETTINGS
from fashion_core.runs.schema import ACTIVE_STATES
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, report, run_status, texts

_CARD: Final = TALLEST + 74  # pixels, with the line above the chart, the gap between them and the border
_FIRST, _LATEST = "first epoch", "latest"  # in addresses
_NOWS: Final = {_LATEST: texts.LATEST_EPOCH, _FIRST: texts.FIRST_EPOCH}
_Charts = tuple[ChartSpec, ChartSpec]
_frames: Cache[tuple[pd.DataFrame, pd.DataFrame]] = Cache(16)
_cached_charts: Cache[_Charts] = Cache(16)


def show_comparison(store: RunStore) -> None:
    rows = comparison.compare(store)
    run_status.say_newest(store)
    if rows:
        _show_rows(store, rows)
    else:
        with st.container(border=True):
            st.write(texts.NOTHING_RESUMED)
            address.show_link(texts.CHOOSE_CHECKPOINT, ":material/replay:")
    _redraw_on_change(store, comparison.outline(rows))


@st.fragment(run_every=2.0)
def _redraw_on_change(store: RunStore, drawn: Outline) -> None:
    """Run the page again once a run is added, is deleted, ends an epoch or ends."""
    login.send_strangers_away()
    run_status.advance(store)
    with common.problems_shown():
        if comparison.current_outline(store) != drawn:
            common.refresh_page()


def _show_rows(store: RunStore, rows: list[Compared]) -> None:
    answer = st.container()
    charts = st.container() if common.is_presenting() else nullcontext()  # a room looks at them, not at the boxes
    names = common.run_names({row.parent: row.parent_name for row in rows})
    latest, sort = address.choice("now", _NOWS) == _LATEST, cast(Sort, address.choice("sort", texts.SORT_LABELS))
    parents = address.choices("from", names)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _ask_now_and_sort(latest, sort)
        options = {"placeholder": texts.ANY_PARENT, "width": 320, **address.follow("from", parents, [])}
        st.multiselect(texts.PARENTS, names, format_func=names.__getitem__, **options)
    shown = [row for row in rows if not parents or row.parent in parents]
    for dataset, own in comparison.by_dataset(shown).items():
        answer.markdown(f"**{common.plain(images_label(dataset))}** · {common.plain(answers.sentence(own, latest))}")
        for said in answers.answers_over_seeds(own, latest):
            answer.markdown(f"- {common.plain(said)}")
    with charts:
        comparison_of(store, shown, latest, sort)
    _show_table(shown)
    parents = [run for row in shown if store.has(run := row.parent)]
    offered = dict.fromkeys([*parents, *(row.run for row in shown)])
    report.offer_report(store, [store.at(run) for run in offered])


def _ask_now_and_sort(latest: bool, sort: Sort) -> None:
    following = address.follow("now", _LATEST if latest else _FIRST, _LATEST)
    st.segmented_control(texts.LOSS_NOW, [_FIRST, _LATEST], required=True, format_func=_NOWS.__getitem__, **following)
    labels, usual = texts.SORT_LABELS, next(iter(texts.SORT_LABELS))
    st.selectbox(texts.SORT, labels, format_func=labels.__getitem__, width=160, **address.follow("sort", sort, usual))


def comparison_of(store: RunStore, rows: Sequence[Compared], latest: bool = True, sort: Sort = "lineage") -> None:
    """Two charts side by side for each dataset; a click on a run in one focuses it in both."""
    if not any(row.now(latest) for row in rows):
        st.info(texts.NO_EPOCH_ENDED, icon=":material/hourglass_empty:")
        return
    _show_charts(rows, tables.losses_of(store, rows), latest, sort)


@st.fragment
def _show_charts(rows: Sequence[Compared], losses: Losses, latest: bool, sort: Sort) -> None:
    """Show the charts of all datasets; a click redraws them without reading any file."""
    login.send_strangers_away()
    drawn = {name: own for name, own in comparison.by_dataset(rows).items() if any(row.now(latest) for row in own)}
    training = any(row.state in ACTIVE_STATES for row in rows)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        _ask_focus([row for own in drawn.values() for row in own if row.now(latest)])
        key = texts.KEY_WHILE_TRAINING.format(key=COMPARISON_KEY) if training else COMPARISON_KEY
        st.markdown(key, width="content")
    for dataset, own in drawn.items():
        if len(drawn) > 1:
            st.header(common.plain(images_label(dataset)))
        _show_dataset(dataset, own, losses, latest, sort)
    if (given := address.get(FOCUS)) and not any(row.run == given for own in drawn.values() for row in own):
        st.error(common.plain(texts.FOCUS_MISSING.format(run=printable(given))), icon=":material/error:")
        st.button(texts.SHOW_ALL, icon=":material/select_all:", type="tertiary", on_click=_show_all)


def _ask_focus(rows: Sequence[Compared]) -> None:
    """The way to focus a run for the keyboard, and for one that a chart shows too small to be clicked."""
    option = texts.FOCUS_OPTION.format
    titles = {row.run: option(name=row.name, parent=row.parent_name, epoch=row.epoch) for row in rows}
    names = common.run_names(titles)
    if len(names) > 1:
        focused = address.get(FOCUS)
        options = address.follow(FOCUS, focused if focused in names else None)
        st.selectbox(
            texts.FOCUS, names, format_func=names.__getitem__, placeholder=texts.NO_FOCUS, width=420, **options
        )


def _show_dataset(dataset: str, rows: Sequence[Compared], losses: Losses, latest: bool, sort: Sort) -> None:
    focused = next((row for row in rows if row.run == address.get(FOCUS)), None)
    compared, branches = _charts(rows, losses, latest, sort, focused.run if focused else None)

    def focus(point: dict[str, Any]) -> None:
        """Focus the clicked run; a click on a parent or beside the marks focuses none."""
        run = point.get("run")
        address.go(**{FOCUS: run if any(row.run == run for row in rows) else None})

    left, right = st.columns([6, 5])
    height: int | Literal["stretch"] = _CARD if (compared.height or 0) > TALLEST else "stretch"
    with left, st.container(border=True, height=height, key=f"rows-{dataset}"):
        st.markdown(texts.LOSSES_CHART)
        if any(row.transferred and row.now(latest) for row in rows):
            st.caption(texts.NOT_COUNTED)
        key = common.press_key(f"compared {dataset}")
        common.show_clickable(compared, key, FOCUS, focus, texts.LOSSES_CHART_ALT)
    with right, st.container(border=True, height="stretch"):
        st.markdown(texts.BRANCHES_CHART)
        key = common.press_key(f"branches {dataset}")
        common.show_clickable(branches, key, FOCUS, focus, texts.BRANCHES_CHART_ALT)
    if focused:
        _show_focused(focused, focused.now(latest))
        placed = compared.frames["rows"]
        for row in placed.loc[placed["focused"], "y"]:  # none before its first epoch has ended
            _scroll_to(f"rows-{dataset}", _CARD - TALLEST + row)


def _scroll_to(key: str, row: float) -> None:
    """Scroll a tall card to this pixel, unless it is in sight, once its chart is drawn."""
    script = f"""{{
        const card = document.querySelector('.st-key-{key}'), row = {row:.0f}
        const drawn = new ResizeObserver(() => {{
            if (card.scrollHeight < row) return
            drawn.disconnect()
            const seen = card.scrollTop < row && row < card.scrollTop + card.clientHeight
            if (!seen) card.scrollTop = row - card.clientHeight / 2
        }})
        for (const box of card.children) drawn.observe(box)
    }}"""
    st.html(f"<script>{script}</script>", unsafe_allow_javascript=True)


def _charts(rows: Sequence[Compared], losses: Losses, latest: bool, sort: Sort, focus: str | None) -> _Charts:
    """Made once for all viewers, until a run makes progress."""
    shown, made_from = (tuple(row.run for row in rows), latest, sort), (rows, losses)
    frames = _frames.get(
        shown, made_from, lambda: (compared_frame(rows, latest, sort), branches_frame(rows, losses, latest))
    )
    return _cached_charts.get((*shown, focus), made_from, lambda: _drawn(*frames, focus))


def _drawn(compared: pd.DataFrame, branches: pd.DataFrame, focus: str | None) -> _Charts:
    """Both as high as each other, where the first one is neither low nor too tall."""
    left = comparison_chart(compared, focus)
    return left, branch_chart(branches, focus, left.height or 0)


def _show_all() -> None:
    address.go(**{FOCUS: None})
    common.count_press()  # new keys make the charts forget what was clicked


def _show_focused(row: Compared, now: LossNow | None) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{common.plain(row.name)}**", width="content")
        st.caption(common.plain(", ".join(row.overrides) or SAME_SETTINGS), width="content")
        if now:
            change, noise = percent(comparison.relative_change(row, now)), comparison.NOISE * now.standard_error
            about = {"change": change, "answer": row.said(now), "noise": noise}
            st.markdown(texts.FOCUSED.format(loss_last=row.loss_last, loss_now=now.loss, **about), width="content")
        address.link("train.py", texts.OPEN_RUN, ":material/open_in_new:", {"run": row.run})
        st.button(texts.SHOW_ALL, icon=":material/select_all:", type="tertiary", on_click=_show_all)
        if not row.parent_exists:
            st.caption(texts.PARENT_DELETED.format(name=common.plain(row.parent_name)), width="content")


def _show_table(rows: Sequence[Compared]) -> None:
    table = pd.DataFrame([comparison.as_record(row) for row in rows if row.latest])
    if table.empty:
        return
    table["overrides"] = table["overrides"].map(", ".join)
    numbers = ("loss_last", "loss_check", "loss_now_first", "loss_now_latest", "difference", "standard_error")
    titles, order = texts.NUMBER_COLUMNS, list(texts.NUMBER_COLUMNS)
    four = {name: st.column_config.NumberColumn(titles[name], format="%.4f") for name in numbers}
    style: dict[str, Any] = {**titles, **four}
    with st.expander(texts.ALL_NUMBERS):
        for dataset, own in table.groupby("dataset"):  # a table of its own, because people sort by any column
            alt = texts.RESUMED_RUNS.format(dataset=images_label(str(dataset)))
            st.caption(alt)
            common.show_table(own, hide_index=True, column_order=order, column_config=style, alt=alt)
        common.offer_csv(texts.CSV, lambda: table, "resumed-runs.csv")


def show_lineage(store: RunStore) -> None:
    parts = tables.lineage_parts(store)
    if not parts:
        run_status.welcome(store)
        return
    number = address.ask_page(len(parts), "trees")
    if len(parts) > 1:
        runs = [sum(map(len, part)) for part in parts]
        st.caption(texts.LINEAGE_PAGE.format(shown=runs[number], count=sum(runs)))
    run_status.say_newest(store)
    st.caption(LINEAGE_KEY)
    spec, alt = lineage_chart(*tables.part_frames(parts, number)).to_dict(), texts.LINEAGE_CHART_ALT
    st.vega_lite_chart(spec, key="lineage", on_select="rerun", selection_mode=CHECKPOINT, alt=alt)
    for point in st.session_state["lineage"].selection.get(CHECKPOINT) or []:
        run, epoch = store.get(point["run"]), int(point["epoch"])
        if epoch in run.epochs_saved():
            address.open_page("checkpoints", run=run.id, epoch=str(epoch))
        st.info(texts.NO_CHECKPOINT.format(epoch=epoch, run=common.plain(run.title)), icon=":material/info:")
