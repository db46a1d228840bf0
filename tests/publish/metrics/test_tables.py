"""CSV and Parquet: the same rows, as pandas reads them, and nothing over a file that is there."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

from fashion_core.errors import DiskError
from fashion_core.publish.metrics import rows
from fashion_core.publish.metrics.tables import write_csv, write_parquet
from fashion_core.runs.store import RunStore
from tests.publish.metrics.conftest import Family
from tests.support.commands import Capture, answered, printed, refused
from tests.support.runs import copied, new_run

READERS: dict[str, Callable[[Path], pd.DataFrame]] = {"csv": pd.read_csv, "parquet": pd.read_parquet}


@pytest.mark.parametrize("kind", READERS)
def test_table_has_every_row_to_the_last_digit(family: Family, tmp_path: Path, kind: str) -> None:
    out, write = tmp_path / f"out.{kind}", {"csv": write_csv, "parquet": write_parquet}[kind]
    expected = [*rows.read(family.store, family.child)]
    assert write(iter(expected), out) == len(expected)
    found = READERS[kind](out)
    assert tuple(found) == rows.COLUMNS
    times = pd.to_datetime(found["time"]).map(pd.Timestamp.timestamp)
    assert times.to_list() == pytest.approx([row.time for row in expected], abs=1e-5)
    for name in {*rows.COLUMNS} - {"time"}:
        values = [value if pd.notna(value) else None for value in found[name]]
        assert values == [getattr(row, name) for row in expected], name


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_file_that_somebody_makes_meanwhile_stays(
    family: Family, tmp_path: Path, write: Callable[[Iterator[rows.Row], Path], int]
) -> None:
    out = tmp_path / "out"

    def rows_meanwhile() -> Iterator[rows.Row]:
        out.write_text("theirs")
        yield from rows.read(family.store, family.child)

    with pytest.raises(DiskError, match="exists already; choose another name"):
        write(rows_meanwhile(), out)
    assert out.read_text() == "theirs"


@pytest.mark.parametrize("kind", READERS)
def test_command_writes_the_run_and_what_it_goes_back_to(
    family: Family, tmp_path: Path, kind: str, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASHION_RUNS", str(family.store.root))
    out = tmp_path / f"out.{kind}"
    told = answered(capsys, "export-metrics", family.child.id, f"--{kind}", out)
    assert told == {"path": str(out), "rows": 15 + 3 + 20 + 2, "runs": [family.parent.id, family.child.id]}
    assert READERS[kind](out)["run"].unique().tolist() == told["runs"]
    before = out.read_bytes()
    said = refused(capsys, "export-metrics", family.child.id, f"--{kind}", str(out))
    assert said == f"{out} exists already; choose another name."
    assert out.read_bytes() == before
    assert refused(capsys, "export-metrics", f"--{kind}", str(tmp_path / "other")) == "Name a run, or --all."
    monkeypatch.setenv("FASHION_RUNS", str(tmp_path / "empty"))
    told = refused(capsys, "export-metrics", "--all", f"--{kind}", str(tmp_path / "other"))
    assert told.startswith(f"There is no run in {tmp_path / 'empty'}: ")


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@A1", "\tx"])
def test_spreadsheet_takes_no_name_for_a_formula_and_numbers_stay_numbers(
    family: Family, tmp_path: Path, name: str
) -> None:
    row = next(rows.read(family.store, family.child))._replace(name=name, train_loss=-1.5, parent=f"{name}x")
    write_csv([row], tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv").iloc[0]
    assert (found["name"], found["parent"], found["train_loss"]) == (f"'{name}", f"'{name}x", -1.5)
    write_parquet([row], tmp_path / "out.parquet")
    assert pd.read_parquet(tmp_path / "out.parquet").iloc[0]["name"] == name


def test_what_can_not_be_read_is_told_and_the_rest_is_written(
    family: Family, store: RunStore, tmp_path: Path, capsys: Capture
) -> None:
    parent, child, broken = copied(family.parent, store), copied(family.child, store), new_run(store)
    broken.record_path.write_text("{")
    with child.metrics_path.open("a") as file:
        file.write("no row\n")
    out, said = printed(capsys, "export-metrics", "--all", "--csv", tmp_path / "out.csv")
    assert out.endswith("40 rows, of 2 runs\n")
    count = child.metrics_path.read_text().count("\n")
    assert said.splitlines() == [
        f"{broken.record_path} is damaged: it is not JSON.",
        f"{child.metrics_path} is damaged: 1 of its {count} rows can't be read and is skipped.",
    ]
    assert {*pd.read_csv(tmp_path / "out.csv")["run"]} == {parent.id, child.id}
