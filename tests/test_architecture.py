"""The house of DESIGN section 2: who may import whom."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import ROOT, python

PACKAGE = ROOT / "fashion_core"
GROUND = {
    "errors",
    "files",
    "kept",
    "processes",
    "heartbeats",
    "config",
    "dataset_files",
    "metrics",
    "schema",
    "containers",
    "pickles",
    "pickled_values",
    "rebuilders",
    "stored",
    "readers",
    "blueprints",
    "state_dicts",
    "checks",
    "inspection",
    "movement",
    "lesson_steps",
    "preparation",
    "image_files",
    "cutouts",
    "classes",
    "messages",
    "scores",
    "thumbnails",
    "outcome_words",
    "words",
    "access",
    "audit",
    "clock",
    "allocator",
    "json_records",
    "listings",
    "run_locks",
}
RECORDS = {
    "actions",
    "access_views",
    "runs",
    "run_folders",
    "records",
    "serving",
    "jobs",
    "frames",
    "curves",
    "live",
    "feed",
    "feed_route",
    "feed_views",
    "tiles",
    "run_tiles",
    "charts",
    "ui",
    "follow",
    "snippets",
    "verify",
    "resuming",
    "resumptions",
    "comparison",
    "proof",
    "chart_parts",
    "file_charts",
    "file_frames",
    "file_views",
    "export_views",
    "movement_views",
    "tidy_views",
    "upload_views",
    "loading_snippets",
    "uploads",
    "upload_limits",
    "filled",
    "resume_labels",
    "resume_frames",
    "resume_charts",
    "branch_charts",
    "lineage_frames",
    "lineage_charts",
    "chooser_chart",
    "resume_views",
    "forms",
    "lesson",
    "precision",
    "predict_client",
    "predict_views",
    "gallery_views",
    "own_image_views",
    "opinion_views",
    "quality_views",
    "predict_snippet_views",
    "predict_snippets",
    "outcome_frames",
    "outcome_charts",
    "opinion_charts",
    "gallery_chart",
}
TENSORS = {
    "models",
    "vision",
    "data",
    "raw_images",
    "garments",
    "drawing",
    "devices",
    "loops",
    "cuda_graphs",
    "recordings",
    "replays",
    "optimizers",
    "parents",
    "reporter",
    "saver",
    "formats",
    "loading",
    "exports",
    "lesson_outputs",
    "imports",
    "predict",
    "predict_worker",
    "training",
    "worker",
}
ENTRY = {
    "__init__",
    "__main__",
    "cli",
    "run_commands",
    "file_commands",
    "model_commands",
    "predict_commands",
    "worker_command",
}
RUN_FOLDER = {"run_folders", "runs"}
"""Where the two wings meet."""

TORCH = {"torch", "torchvision"}
BROWSER = {"streamlit", "altair", "pandas"}


def imports(path: Path) -> set[str]:
    """What a file imports, in functions too: ``fashion_core`` modules by their own name, others by their first."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "fashion_core":
            found.update(f"fashion_core.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
    return {name.removeprefix("fashion_core.").split(".")[0] for name in found}


def ours(path: Path) -> set[str]:
    return imports(path) & {module.stem for module in PACKAGE.glob("*.py")}


def paths(names: set[str]) -> list[Path]:
    return [PACKAGE / f"{name}.py" for name in sorted(names)]


def test_every_module_has_a_place() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == GROUND | RECORDS | TENSORS | ENTRY


@pytest.mark.parametrize("path", paths(GROUND), ids=lambda path: path.stem)
def test_ground_floor_imports_neither_wing(path: Path) -> None:
    assert ours(path) <= GROUND
    assert not imports(path) & (TORCH | BROWSER)


@pytest.mark.parametrize("path", paths(RECORDS), ids=lambda path: path.stem)
def test_records_wing_imports_no_tensors(path: Path) -> None:
    assert ours(path) <= GROUND | RECORDS
    assert not imports(path) & TORCH


@pytest.mark.parametrize("path", paths(TENSORS), ids=lambda path: path.stem)
def test_tensors_wing_meets_records_only_in_the_run_folder(path: Path) -> None:
    assert ours(path) <= GROUND | TENSORS | RUN_FOLDER
    assert not imports(path) & BROWSER


@pytest.mark.parametrize("path", [ROOT / "app.py", *sorted((ROOT / "pages").glob("*.py"))], ids=lambda path: path.stem)
def test_pages_import_no_tensors(path: Path) -> None:
    assert ours(path) <= GROUND | RECORDS
    assert not imports(path) & TORCH


@pytest.mark.parametrize(
    "name",
    [
        "charts",
        "chart_parts",
        "filled",
        "file_charts",
        "resume_charts",
        "branch_charts",
        "lineage_charts",
        "chooser_chart",
        "outcome_charts",
        "opinion_charts",
        "gallery_chart",
    ],
)
def test_charts_know_neither_streamlit_nor_the_store(name: str) -> None:
    found = imports(PACKAGE / f"{name}.py")
    assert not found & {"streamlit", "runs", "run_folders", "jobs", "records", "frames", "files", "os", "pathlib"}


def test_jobs_know_the_worker_by_its_command_line_only() -> None:
    assert not ours(PACKAGE / "jobs.py") & (TENSORS | ENTRY)


def test_imports_have_no_circle() -> None:
    graph = {path.stem: ours(path) for path in PACKAGE.glob("*.py")}

    def walk(name: str, trail: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if name in trail:
            yield (*trail, name)
            return
        for neighbour in graph[name]:
            yield from walk(neighbour, (*trail, name))

    assert [circle for name in graph for circle in walk(name, ())] == []


def test_no_module_outside_the_tensors_wing_loads_torch() -> None:
    """By running them, so that what others import for them counts too."""
    lines = [
        f"import fashion_core.{name}; assert 'torch' not in sys.modules, {name!r}"
        for name in sorted(GROUND | RECORDS | {"cli"})
    ]
    done = python("\n".join(["import sys", *lines]))
    assert done.returncode == 0, done.stderr


def test_nothing_but_pages_and_charts_loads_the_browser_libraries() -> None:
    names = sorted(GROUND | TENSORS | {"runs", "run_folders", "records", "jobs", "follow", "cli"})
    lines = [
        f"import fashion_core.{name}; found = {BROWSER!r} & set(sys.modules); assert not found, ({name!r}, found)"
        for name in names
    ]
    done = python("\n".join(["import sys", *lines]))
    assert done.returncode == 0, done.stderr


def calls(path: Path) -> Iterator[ast.Call]:
    return (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))


CHANGES = {
    "start", "stop", "go_on", "begin", "resume", "cancel", "create", "bring_in", "delete", "write_labels",
    "write_status", "write_facts", "write_marks", "overwrite_status", "remove_saved", "unlist", "verify", "download",
    "keep", "spool", "write_json", "write_bytes", "unlink", "rmtree", "rename", "replace_file", "write_text", "touch",
}  # fmt: skip
"""What changes a store or starts something, by the last part of its name."""
FACES = [
    *(ROOT / "pages").glob("*.py"),
    *PACKAGE.glob("*_views.py"),
    PACKAGE / "ui.py",
    PACKAGE / "forms.py",
    PACKAGE / "cli.py",
    *PACKAGE.glob("*_commands.py"),
    PACKAGE / "follow.py",
]
GATES = re.compile(r"(ui\.actions\([\w.]*store\)|actions\(store\)|actions|from_command_line\(.*\))\.\w+")


@pytest.mark.parametrize("path", sorted(FACES), ids=lambda path: path.stem)
def test_pages_and_commands_change_things_through_the_gate_alone(path: Path) -> None:
    """Called or passed on; the importing process of a server is told to by somebody who came through the gate."""
    tree = ast.parse(path.read_text())
    used = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in CHANGES]
    excused = {"imports.bring_in", "file_commands.bring_in", "file_commands.verify"}
    assert [name for name in used if name not in excused and not GATES.fullmatch(name)] == []
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module != "fashion_core"]
    assert not CHANGES & {alias.name for node in imported for alias in node.names}


def test_every_page_comes_in_by_the_door() -> None:
    *_, last = ast.parse((ROOT / "pages" / "dashboard.py").read_text()).body
    assert ast.unparse(last) == "if access_views.let_in():\n    page.run()"


@pytest.mark.parametrize("path", sorted([*PACKAGE.glob("*.py"), *(ROOT / "pages").glob("*.py")]), ids=lambda p: p.stem)
def test_nothing_unpickles_more_than_tensors(path: Path) -> None:
    for call in calls(path):
        name = ast.unparse(call.func)
        assert name not in ("torch.jit.load", "pickle.load", "pickle.loads", "pickle.Unpickler")
        if name == "torch.load":
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert options.get("weights_only") == "True"


@pytest.mark.parametrize("path", sorted([*PACKAGE.glob("*.py"), *(ROOT / "pages").glob("*.py")]), ids=lambda p: p.stem)
def test_the_unsafe_way_to_load_stands_in_no_text_and_under_no_other_name(path: Path) -> None:
    """A snippet is text that people run, and an alias would pass the test above."""
    source = path.read_text()
    assert "weights_only=False" not in source.replace(" ", "")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module in ("torch", "torch.jit", "torch.serialization", "pickle"):
            assert not {"load", "loads", "Unpickler"} & {alias.name for alias in node.names}


def fragments() -> list[tuple[str, ast.FunctionDef]]:
    """The parts of pages that Streamlit runs by themselves, by the name of their file."""
    found = []
    for path in [*(ROOT / "pages").glob("*.py"), *PACKAGE.glob("*_views.py")]:
        tree = ast.parse(path.read_text())
        names = {
            ast.unparse(node.args[0])
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "st.fragment" and node.args
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                decorated = any("st.fragment" in ast.unparse(decorator) for decorator in node.decorator_list)
                if decorated or node.name in names:
                    found.append((path.name, node))
    return found


def test_parts_that_run_by_themselves_ask_first_who_looks() -> None:
    every = fragments()
    assert len(every) >= 5
    for name, function in every:
        first = ast.unparse(function.body[1 if ast.get_docstring(function) else 0])
        assert first in ("ui.advance(store)", "access_views.send_strangers_away()"), f"{name}: {function.name}"
