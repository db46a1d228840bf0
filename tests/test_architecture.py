"""The house: which room may import which, who may load torch, and who may change a store."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeGuard

import pytest

from tests.support.processes import ROOT, python

PACKAGE = ROOT / "fashion_core"
FLOORS = (
    {"app", "pages", "__main__"},
    {"ui", "cli"},
    {"publish"},
    {"access", "charts"},
    {"training", "resume", "inference", "bundles"},
    {"formats"},
    {"runs"},
    {"data", "loops", "devices"},
    {"models"},
    {"ground"},
)
"""From the top down: a room imports itself and rooms on lower floors, so rooms never stand in a circle."""
GROUND = {"errors", "config", "files", "cache"}
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
LIBRARIES = {
    "torch": r"models|loops|devices|data\.batches|training|formats"
    r"\.(save|load|export|import_file|describe_models|pickled_layers)|inference\.(engine|worker)|resume\.lesson\.outputs|cli\.predict",
    "streamlit": r"app|pages|ui",
    "altair": r"charts",
    "pandas": r"pages|charts|ui|(runs|resume)\.(tables|loss_curve)",
    "tensorboardX": r"publish\.metrics\.tensorboard",
    "mlflow": r"publish\.metrics\.mlflow_client",
    "vl_convert": r"publish\.drawing",
    "submitit": r"runs\.launchers\.slurm",
    "ray": r"runs\.launchers\.ray_jobs",
}
"""The modules, with what is below them, that may import a library."""
INTERNALS = {"models.torch_internals": "torch", "ui.streamlit_internals": "streamlit"}
"""The modules that may use what a library does not document."""
DOCUMENTED = {"os._exit"}
"""Names that look private and are not."""
UNDOCUMENTED = re.compile(r"torch\.(cpu\.get_capabilities|backends\.mkldnn|jit\.optimized_execution|utils\.weak)")
LIBRARY_INTERNALS = re.compile(r"torch\.utils\.weak|(torch|streamlit)(\.\w+)*\._")
SERVER_WITHOUT_TORCH = (
    r"pages|ui|publish\.ask|cli\.main|access|bundles|charts|runs|resume\.(?!lesson\.outputs)"
    r"|errors|config|files|cache"
)
LIGHT_WITHOUT_BROWSER = (
    r"cli|publish\.ask|access|bundles|training|formats|inference|publish\.metrics|data|runs\.(?!tables|loss_curve)"
)


def modules() -> dict[str, Path]:
    """Every module of the product by its name, without ``fashion_core.``."""
    files = [*PACKAGE.rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "app.py"]
    assert len(files) >= 100, f"only {len(files)} files were found"
    return {_name(path): path for path in files}


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(part for part in parts if part not in ("fashion_core", "__init__"))


MODULES = modules()
every_module = pytest.mark.parametrize("name", sorted(MODULES))


@cache
def nodes(name: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(MODULES[name].read_text())))


@cache
def imports(name: str) -> set[str]:
    """What a module imports, in functions too: ours without ``fashion_core.``, others in full."""
    found: set[str] = set()
    for node in nodes(name):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} has a relative import"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {entry.removeprefix("fashion_core.") for entry in found}


def room(name: str) -> str:
    first = name.partition(".")[0]
    return "ground" if first in GROUND else first


@every_module
def test_imports_point_down(name: str) -> None:
    if name:  # the package itself imports nothing
        wrong = {
            entry
            for entry in imports(name)
            if room(entry) in FLOOR_OF and room(entry) != room(name) and FLOOR_OF[room(entry)] <= FLOOR_OF[room(name)]
        }
        assert not wrong


@every_module
def test_libraries_are_imported_where_they_belong(name: str) -> None:
    for library, places in LIBRARIES.items():
        if library in {room(entry) for entry in imports(name)}:
            assert re.match(rf"({places})(\.|$)", name), f"{name} imports {library}"


@every_module
def test_private_names_of_others_stand_in_one_module_a_library(name: str) -> None:
    """Each library may change them in any version: there each has its comment and a plain way without it."""
    if name in INTERNALS:
        return
    tree = ast.parse(MODULES[name].read_text())
    attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    private = {ast.unparse(node) for node in attributes if re.match(r"_(?!_)", node.attr) and not _is_own(node.value)}
    undocumented = {text for node in attributes if UNDOCUMENTED.match(text := ast.unparse(node))}
    imported = {entry for entry in imports(name) if LIBRARY_INTERNALS.match(entry)}
    assert not private - DOCUMENTED | undocumented | imported


def _is_own(value: ast.expr) -> bool:
    return ast.unparse(value) in ("self", "cls")


def test_modules_of_a_room_stand_in_no_circle() -> None:
    graph = {name: {found for entry in imports(name) if (found := _module(entry))} for name in MODULES}
    clear: set[str] = set()  # from which no way leads in a circle: looked at once, or the ways would be millions

    def walk(name: str, trail: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        if name in trail:
            yield (*trail, name)
            return
        for neighbour in graph[name] - {name} - clear:
            yield from walk(neighbour, (*trail, name))
        clear.add(name)

    assert [circle for name in graph for circle in walk(name, ())] == []


def _module(entry: str) -> str | None:
    return next((name for name in (entry, entry.rpartition(".")[0]) if name and name in MODULES), None)


def test_rooms_are_small() -> None:
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert len([path for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"]) <= 13
    for folder in folders:
        files = [path for path in folder.iterdir() if path.is_file()]
        assert len(files) <= (8 if folder == PACKAGE else 14), f"{folder} has {len(files)} files"
    for path in MODULES.values():
        assert len(path.read_text().splitlines()) <= 350, f"{path} is long"


def test_expanders_keep_their_chevron() -> None:
    """Streamlit shows an icon in its place, and then nothing tells that there is something to open."""
    calls = [node for path in MODULES.values() for node in ast.walk(ast.parse(path.read_text())) if _is_expander(node)]
    assert len(calls) >= 10, f"only {len(calls)} were found"
    for call in calls:
        assert "icon" not in {keyword.arg for keyword in call.keywords}, ast.unparse(call)


def _is_expander(node: ast.AST) -> TypeGuard[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "expander"


def test_no_module_of_the_server_loads_torch_or_an_engine() -> None:
    _assert_loads_none(SERVER_WITHOUT_TORCH, {"torch", "submitit", "ray", "vl_convert"}, at_least=60)


@pytest.mark.slow
def test_nothing_but_pages_tables_and_charts_loads_the_browser_libraries() -> None:
    _assert_loads_none(LIGHT_WITHOUT_BROWSER, {"streamlit", "altair", "pandas"}, at_least=40)


def _assert_loads_none(places: str, libraries: set[str], at_least: int) -> None:
    """By running the modules, so that what others import for them counts too."""
    names = [name for name in sorted(MODULES) if re.match(rf"({places})", name) and room(name) != "pages"]
    assert len(names) >= at_least
    lines = [
        f"import fashion_core.{name}; found = {libraries!r} & set(sys.modules); assert not found, ({name!r}, found)"
        for name in names
    ]
    done = python("\n".join(["import sys", *lines]))
    assert done.returncode == 0, done.stderr


CHANGES = {
    "start", "start_seeds", "stop", "continue_run", "begin", "resume", "cancel", "create", "import_file", "delete",
    "write_labels", "write_status", "write_info", "write_verification", "overwrite_status", "remove_saved", "unlist",
    "verify", "reproduce", "download", "keep", "spool", "write_json", "write_bytes", "unlink", "rmtree", "rename",
    "replace_file", "write_text", "touch", "kill", "write_drill", "restore_drill", "start_twin", "add_dataset",
    "remove_dataset", "unbundle",
}  # fmt: skip
"""What changes a store or starts something, by the last part of its name."""
FACES = [name for name in sorted(MODULES) if room(name) in ("pages", "ui", "cli")]
GATES = re.compile(r"((login\.)?actions\([\w.]*store\)|actions|threading\.Thread\(.*\)|from_command_line\(.*\))\.\w+")


@pytest.mark.parametrize("name", FACES)
def test_pages_and_commands_change_things_through_the_gate_alone(name: str) -> None:
    """Called or passed on; the importing process of a server is told to by somebody who came through the gate."""
    assert len(FACES) >= 40
    used = [ast.unparse(node) for node in nodes(name) if isinstance(node, ast.Attribute) and node.attr in CHANGES]
    excused = {"st.stop", "import_file.import_file", "files.import_file", "files.verify", "runs.continue_run"}
    excused |= {"unbundle.unbundle"}
    assert [name for name in used if name not in excused and not GATES.fullmatch(name)] == []
    functions = {entry.rpartition(".")[2] for entry in imports(name) if entry not in MODULES}
    assert not CHANGES & functions


@pytest.mark.parametrize("name", FACES)
def test_every_link_carries_on_the_look_of_a_room(name: str) -> None:
    leads = [
        node for node in nodes(name) if isinstance(node, ast.Attribute) and node.attr in ("page_link", "switch_page")
    ]
    assert name == "ui.address" or [ast.unparse(node) for node in leads if ast.unparse(node).startswith("st.")] == []


def test_every_page_comes_in_by_the_door() -> None:
    *_, last = ast.parse((ROOT / "pages" / "dashboard.py").read_text()).body
    assert ast.unparse(last) == "with common.problems_shown():\n    if login.let_in():\n        page.run()"


@every_module
def test_nothing_unpickles_more_than_tensors(name: str) -> None:
    for call in (node for node in nodes(name) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        assert called not in ("torch.jit.load", "pickle.load", "pickle.loads", "pickle.Unpickler")
        if called == "torch.load":
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert options.get("weights_only") == "True"


@every_module
def test_the_unsafe_way_to_load_stands_in_no_text_and_under_no_other_name(name: str) -> None:
    """A snippet is text that people run, and an alias would pass the test above."""
    assert "weights_only=False" not in MODULES[name].read_text().replace(" ", "")
    for node in nodes(name):
        if isinstance(node, ast.ImportFrom) and node.module in ("torch", "torch.jit", "torch.serialization", "pickle"):
            assert not {"load", "loads", "Unpickler"} & {alias.name for alias in node.names}


def fragments() -> Iterator[tuple[str, ast.FunctionDef]]:
    """The parts of pages that Streamlit runs by themselves, by the name of their module."""
    for name in (name for name in MODULES if room(name) in ("pages", "ui")):
        called = {
            ast.unparse(node.args[0])
            for node in nodes(name)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "st.fragment" and node.args
        }
        for node in nodes(name):
            if isinstance(node, ast.FunctionDef):
                decorated = any("st.fragment" in ast.unparse(decorator) for decorator in node.decorator_list)
                if decorated or node.name in called:
                    yield name, node


def test_parts_that_run_by_themselves_ask_first_who_looks() -> None:
    every = list(fragments())
    assert len(every) >= 5
    for name, function in every:
        first = ast.unparse(function.body[1 if ast.get_docstring(function) else 0])
        assert first == "login.send_strangers_away()", f"{name}: {function.name}"
