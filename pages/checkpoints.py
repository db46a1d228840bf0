"""Every saved file of every run: look inside, compare, load, download, import, verify, tidy up."""

from contextlib import suppress
from typing import Any

import pandas as pd
import streamlit as st

from fashion_core.charts.files import FORMATS, bytes_text
from fashion_core.errors import DiskError, RunNotFoundError, counted
from fashion_core.runs import tables
from fashion_core.runs.run import Run
from fashion_core.runs.store import RunStore
from fashion_core.ui import address, common, login, run_status
from fashion_core.ui.checkpoints import exports, housekeeping, import_file, saved_file, weight_change
from pages import texts

ALL_RUNS = "all"
PAGE = ("page",)  # a filter leads to the first page of what passes it
COLUMNS = ["file", "damage", "name", "format", "epoch", "loss", "accuracy", "best", "resumed", "megabytes", "age"]


def main() -> None:
    store = RunStore()
    st.title(texts.CHECKPOINTS)
    st.caption(texts.CHECKPOINTS_CAPTION)
    saved = tables.saved_frame(store, named_runs(store))
    views: dict[str, address.View] = {
        "Saved files": (texts.SAVED_FILES, lambda: show_list(store, saved)),
        "Import": (texts.IMPORT, lambda: import_file.show_upload(store)),
        "Verify and tidy up": (texts.VERIFY_AND_TIDY_UP, lambda: show_tidy(store, saved)),
    }
    address.show_tabs(views)


def named_runs(store: RunStore) -> list[Run]:
    """The runs that the address names: they may be older than those whose files are listed."""
    found = []
    for name in ("of", "run", saved_file.OTHER):
        with suppress(RunNotFoundError, DiskError):  # what is wrong is said where it is used
            found.append(store.get((address.get(name) or "").partition("/")[0]))
    return found


def show_list(store: RunStore, saved: pd.DataFrame) -> None:
    if saved.empty:
        run_status.welcome(store)
        return
    run_status.say_newest(store)
    with common.problems_shown():
        show_table(store, filtered(store, saved))
    with common.problems_shown():
        if chosen := saved_file.addressed_file(store) if names_a_file() else None:
            show_file(chosen, saved)
        else:
            st.caption(texts.SELECT_ROW)


def filtered(store: RunStore, saved: pd.DataFrame) -> pd.DataFrame:
    run_id = listed_run(store, saved)
    known = sorted(saved["format"].dropna().unique())
    formats, epoch = address.choices("format", known), address.number("at", texts.EVERY_EPOCH_INSTEAD)
    best = address.is_on("best")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        ask_run(saved, run_id)
        following = address.follow("format", formats, [], PAGE)
        st.multiselect(texts.FORMAT, known, format_func=format_name, width=240, **following)
        following = address.follow("at", epoch, None, PAGE)
        st.number_input(texts.EPOCH, 0, value=None, step=1, placeholder=texts.ANY_EPOCH, width=120, **following)
        st.toggle(texts.BEST_OF_EACH_RUN, **address.follow("best", best, False, PAGE))
    if run_id != ALL_RUNS:
        saved = saved[saved["run"] == run_id]
    if formats:
        saved = saved[saved["format"].isin(formats)]
    if epoch is not None:
        saved = saved[(saved["epoch"] == epoch).fillna(False)]
    return saved[saved["best"]] if best else saved


def listed_run(store: RunStore, saved: pd.DataFrame) -> str:
    """The run whose files the address asks for, which may name it as ``run`` alone; all of them if it is not there."""
    given = address.get("of") or (None if names_a_file() else address.get("run"))
    if given is None or given == ALL_RUNS:
        return ALL_RUNS
    with address.wrong_shown(texts.ALL_FILES_INSTEAD):
        run = store.get(given)
        if run.id in set(saved["run"]):
            return run.id
        run_status.tell_no_file(run, texts.ALL_FILES_INSTEAD)
    return ALL_RUNS


def ask_run(saved: pd.DataFrame, run_id: str) -> None:
    runs = saved.drop_duplicates("run")  # each text taken out of a frame is made anew: 40,000 for 20,000 files
    names = common.run_names({ALL_RUNS: texts.ALL_RUNS, **dict(zip(runs["run"], runs["name"], strict=True))})
    other = dict.fromkeys(PAGE) if names_a_file() else dict.fromkeys((*PAGE, "run"))
    address.ask(texts.RUN, names, run_id, lambda run: address.go(**other, of=None if run == ALL_RUNS else run), 320)


def names_a_file() -> bool:
    return bool(address.get("epoch") or address.get("file"))


def show_table(store: RunStore, every: pd.DataFrame) -> None:
    if every.empty:
        address.offer_to_clear(texts.NO_FILE_PASSES, "of", "format", "at", "best", *PAGE)
        return
    rows = address.ask_rows(every, "page", next(iter(addressed_rows(every)), 0))
    if tables.forget_changed(store, rows):
        st.rerun()
    show_rows(rows)
    many = texts.FILES_SHOWN if len(rows) < len(every) else texts.FILES_MANY
    size = bytes_text(int(every["bytes"].sum()))
    st.caption(counted(len(every), texts.FILES_ONE, many, shown=len(rows), size=size))


def show_rows(rows: pd.DataFrame) -> None:
    key = f"files {hash(tuple(rows['run'] + '/' + rows['file']))}"  # a choice is a row number: other rows, no choice
    common.show_table(
        as_shown(rows),
        hide_index=True,
        height=320,
        on_select=lambda: choose(rows, key),
        selection_mode="single-row",
        selection_default={"selection": {"rows": addressed_rows(rows)}},
        key=key,
        column_order=COLUMNS if rows["damage"].notna().any() else [name for name in COLUMNS if name != "damage"],
        column_config=column_config(),
        placeholder="",
        alt=texts.FILES_TABLE,
    )


def as_shown(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.assign(
        format=rows["format"].map(format_name, na_action="ignore"),
        accuracy=rows["accuracy"] * 100,
        megabytes=rows["bytes"].astype("float64") / 1e6,
        age=common.ages(rows["created"]),
        best=rows["best"].map({True: texts.BEST_CELL, False: ""}),
        resumed=rows["resumed"].map(lambda count: f"↻ {count}" if count else ""),
        damage=rows["damage"].map(lambda reason: texts.DAMAGED_CELL, na_action="ignore"),
    )


def format_name(format: str) -> str:
    return FORMATS[format].label if format in FORMATS else format


def column_config() -> dict[str, Any]:
    text, number = st.column_config.TextColumn, st.column_config.NumberColumn
    return {
        "file": texts.FILE_COLUMN,
        "damage": text(texts.CONDITION_COLUMN, width=105, help=texts.CONDITION_HELP),
        "name": text(texts.RUN_COLUMN, width="medium"),
        "format": texts.FORMAT_COLUMN,
        "epoch": texts.EPOCH_COLUMN,
        "loss": number(texts.LOSS_COLUMN, format="%.4f", help=texts.LOSS_HELP),
        "accuracy": number(texts.ACCURACY_COLUMN, format="%.2f %%", help=texts.ACCURACY_HELP),
        "best": text(texts.BEST_COLUMN, help=texts.BEST_HELP),
        "resumed": text(texts.RESUMED_COLUMN, help=texts.RESUMED_HELP),
        "megabytes": number(texts.SIZE_COLUMN, format="%.2f MB"),
        "age": texts.AGE_COLUMN,
    }


def choose(rows: pd.DataFrame, key: str) -> None:
    query: dict[str, str | None] = {}
    for row in rows.iloc[st.session_state[key].selection.rows].itertuples():
        run = RunStore().at(str(row.run))
        query |= common.file_query(run, run.path / str(row.file))
    if not names_a_file():
        query["of"] = address.get("of") or address.get("run")  # the run that is listed stays so
    address.go(**{"run": None, "epoch": None, "file": None, "with": None, **query})


def addressed_rows(rows: pd.DataFrame) -> list[int]:
    run_id, epoch, file = map(address.get, ("run", "epoch", "file"))
    name = file or f"model_save/{epoch}"
    return [int(row) for row in ((rows["run"] == run_id) & (rows["file"] == name)).to_numpy().nonzero()[0][:1]]


@st.fragment
def show_file(chosen: saved_file.Chosen, saved: pd.DataFrame) -> None:
    login.send_strangers_away()
    with st.container(border=True), common.problems_shown():
        chosen.run.saved_file(chosen.name)  # it may have been deleted since the page was drawn
        show_heading(chosen, saved)
        sections = {
            "Look inside": (texts.LOOK_INSIDE, lambda: show_inside(chosen)),
            "Five ways": (texts.FIVE_WAYS, lambda: exports.show_five_ways(chosen)),
            "In plain PyTorch": (texts.IN_PLAIN_PYTORCH, lambda: exports.show_loading_script(chosen)),
            "Compare": (texts.COMPARE, lambda: weight_change.show_comparison(chosen, saved)),
            "Download": (texts.DOWNLOAD, lambda: exports.show_download(chosen)),
        }
        address.show_tabs(sections, "show")


def show_heading(chosen: saved_file.Chosen, saved: pd.DataFrame) -> None:
    st.header(f"{common.plain(chosen.run.title)} · `{chosen.name}`")
    with st.container(horizontal=True, vertical_alignment="center"):
        run_status.badge(chosen.verdict)
        run_status.images_badge(chosen.run.record)
        st.space("stretch")
        run, query = {"run": chosen.run.id}, common.file_query(chosen.run, chosen.file)
        address.link("train.py", texts.OPEN_RUN, ":material/model_training:", run)
        if chosen.verdict not in ("damaged", "not usable"):
            address.link("predict.py", texts.PREDICT, ":material/image_search:", query)
            if "epoch" in query:
                address.link("resume.py", texts.RESUME, ":material/replay:", query)
        if login.button(texts.DELETE, icon=":material/delete:", key="delete file"):
            housekeeping.confirm_delete(chosen.store, [chosen.run], chosen.file)
    if tables.is_resumed(saved, chosen.run, chosen.name):
        children = chosen.store.children(chosen.run, chosen.file)
        names = ", ".join(common.plain(_name_of_child(child)) for child in children)
        st.caption(texts.RESUMED_FROM_FILE.format(names=names))
    if chosen.damage:
        st.error(texts.DAMAGED.format(reason=common.plain(chosen.damage)), icon=":material/broken_image:")


def _name_of_child(child: Run) -> str:
    return texts.TRANSFERRED.format(name=child.title) if child.record.is_transfer else child.title


def show_inside(chosen: saved_file.Chosen) -> None:
    found = chosen.contents
    saved_file.show_verdict(chosen.verdict, found.inspection)
    if not chosen.damage:
        saved_file.show_problem(found)
    if found.inspection:
        saved_file.show_inside(found.inspection, f"{chosen.run.id} {chosen.name}")


def show_tidy(store: RunStore, saved: pd.DataFrame) -> None:
    if saved.empty:
        run_status.welcome(store)
        return
    run_id = listed_run(store, saved)
    ask_run(saved, run_id)
    run_status.say_newest(store)
    run = None if run_id == ALL_RUNS else store.get(run_id)
    with st.container(border=True):
        housekeeping.show_verify(store, run, saved, texts.VERIFY_RUN if run else texts.VERIFY_ALL)
    with st.container(border=True):
        if run:
            housekeeping.show_keep(store, run, saved[saved["run"] == run_id])
        else:
            st.header(texts.KEEP)
            st.write(texts.SELECT_RUN_TO_KEEP)


main()
