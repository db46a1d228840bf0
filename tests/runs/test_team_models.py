"""A team's module is never imported by who asks about it: a process with torch answers once, and its answer is kept."""

import json
import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from fashion_core.config import FASHION, Shape
from fashion_core.errors import ModelError, WorkerError
from fashion_core.models.layers import Answer
from fashion_core.runs import processes, team_models, torch_process
from fashion_core.runs.team_models.answers import FOLDER, answer
from tests.support.processes import python

NETS = """
import os
import helper_of_nets
from torch import nn

with open(os.environ["IMPORTS"], "a") as file:
    file.write(f"{os.getpid()}\\n")

class Net(nn.Module):
    '''A net of the team.'''
    def __init__(self, channels, height, width, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(channels * height * width, classes))
    def forward(self, x):
        return self.layers(x)

MODELS = {"net": Net, "broken": lambda: 1 / 0}
"""


class Here:
    """A module of a team, and how often which processes have imported it."""

    def __init__(self, folder: Path) -> None:
        self.path, self.helper = folder / "nets.py", folder / "helper_of_nets.py"
        self.path.write_text(NETS)
        self.helper.write_text("")
        self.times = folder / "imports"
        self.kept = folder / "runs" / FOLDER

    def imports(self) -> list[int]:
        return list(map(int, self.times.read_text().split())) if self.times.exists() else []

    def ask(self, shape: Shape = FASHION) -> Answer:
        return answer(str(self.path), shape)


def here_in(folder: Path, patch: pytest.MonkeyPatch) -> Here:
    here = Here(folder)
    patch.setenv("FASHION_RUNS", str(folder / "runs"))
    patch.setenv("FASHION_MODELS", str(here.path))
    patch.setenv("IMPORTS", str(here.times))
    return here


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Here]:
    """Asked once; its files stay as they are."""
    with pytest.MonkeyPatch.context() as patch:
        here = here_in(tmp_path_factory.mktemp("asked"), patch)
        here.ask()
        yield here


def test_process_that_asks_never_imports_the_module(asked: Here) -> None:
    assert len(asked.imports()) == 1
    assert os.getpid() not in asked.imports()
    assert not {"nets", "helper_of_nets"} & sys.modules.keys()


def test_answer_is_kept_and_not_asked_for_again(asked: Here) -> None:
    """Not by another process either."""
    before = asked.imports()
    code = "from fashion_core.runs import team_models; print(team_models.info('net', (1, 28, 28, 10)).doc)"
    done = python(code)
    assert done.stdout == "A net of the team.\n", done.stderr
    assert asked.ask().models["net"].doc == "A net of the team."
    assert asked.imports() == before


def test_answer_is_kept_by_its_files_and_torch(asked: Here) -> None:
    (kept,) = asked.kept.iterdir()
    found = json.loads(kept.read_text())
    assert list(found["files"]) == ["helper_of_nets.py", "nets.py"]
    assert found["torch"] == metadata.version("torch")


def test_model_with_a_problem_harms_no_other(asked: Here) -> None:
    assert team_models.names() == ("mlp", "cnn", "resnet18", "net", "broken")
    assert team_models.problems() == []
    with pytest.raises(ModelError, match=r"broken can't be built for 1 × 28 × 28 and 10 classes: ZeroDivisionError"):
        team_models.info("broken", FASHION)
    team_models.check("net", FASHION)
    team_models.check("mlp", FASHION)


def test_model_that_is_not_here_is_one_sentence(asked: Here) -> None:
    with pytest.raises(
        ModelError, match=r"There is no model other here: choose one of mlp, cnn, resnet18, net, broken"
    ):
        team_models.info("other", FASHION)


def test_server_describes_a_teams_model_by_the_kept_answer(asked: Here) -> None:
    before = asked.imports()
    assert torch_process.describe_model("net", FASHION)["parameters"] == 7850
    assert asked.imports() == before


def test_source_is_kept_as_text_with_all_its_files(asked: Here) -> None:
    text = team_models.source_text("net", FASHION)
    assert text.startswith("# helper_of_nets.py\n")
    assert f"# nets.py\n{NETS}" in text
    assert team_models.sha256_of("net", FASHION) == asked.ask().sha256
    assert team_models.sha256_of("mlp", FASHION) is None


@pytest.mark.slow
def test_answer_is_asked_for_again_once_anything_that_it_was_made_of_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file, what it imports, torch, a damaged answer, other images; one long test, as each asks torch."""
    here = here_in(tmp_path, monkeypatch)
    first, count = here.ask(), 1
    assert len(here.imports()) == count

    here.path.write_text(NETS.replace("A net of the team", "Another net"))
    assert here.ask().models["net"].doc == "Another net."
    assert len(here.imports()) == (count := count + 1)

    here.helper.write_text("# changed")
    assert here.ask().sha256 not in (first.sha256, "")
    assert len(here.imports()) == (count := count + 1)

    (kept,) = here.kept.iterdir()
    for damage in ("{", json.dumps({**json.loads(kept.read_text()), "torch": "0.1"})):
        kept.write_text(damage)
        done = python("from fashion_core.runs import team_models; print(*team_models.problems())")
        assert done.stdout.strip() == "", done.stderr
        assert len(here.imports()) == (count := count + 1), damage

    assert here.ask(Shape(3, 32, 32, 5)).models["net"].parameters == 3 * 32 * 32 * 5 + 5
    assert len(here.imports()) == count + 1

    here.helper.unlink()
    assert "No module named 'helper_of_nets'" in (here.ask().problem or "")


def written(folder: Path, monkeypatch: pytest.MonkeyPatch, code: str) -> str:
    monkeypatch.setenv("FASHION_RUNS", str(folder / "runs"))
    (folder / "nets.py").write_text(code)
    return str(folder / "nets.py")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("import os; os._exit(0)", "The process that was asked ended without an answer: exit status 0"),
        ("import os; os.kill(os.getpid(), 9)", "The process that was asked ended without an answer: exit status -9"),
        ("raise KeyboardInterrupt", "The process that was asked ended without an answer: fashion_core: interrupted"),
    ],
)
def test_module_that_ends_its_process_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, told: str
) -> None:
    assert told in (answer(written(tmp_path, monkeypatch, code), FASHION).problem or "")


@pytest.mark.slow
def test_module_that_never_ends_is_given_up_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began = tmp_path / "began"
    name = written(tmp_path, monkeypatch, f"import time\nopen({str(began)!r}, 'w')\nwhile True: time.sleep(1)")
    found = answer(name, FASHION, seconds=9)
    late = "there was no answer from a process of its own within 9 s: try again."
    assert found.problem == f"{name} can't be used: {late}"
    assert began.exists()


@pytest.mark.slow
def test_module_that_prints_is_understood_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = f"print('{{')\nimport os, sys\nos.environ['IMPORTS'] = os.devnull\nhelper_of_nets = sys\n{NETS}"
    name = written(tmp_path, monkeypatch, code.replace("import helper_of_nets\n", ""))
    assert answer(name, FASHION).models["net"].problem is None


@pytest.mark.slow
def test_what_was_mended_elsewhere_is_asked_again_after_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by installing the package that was missing."""
    name = written(tmp_path, monkeypatch, "import torch, extra_package\nMODELS = {'net': torch.nn.Linear}")
    assert "No module named 'extra_package'" in (answer(name, FASHION).problem or "")
    (tmp_path / "extra_package").mkdir()
    (tmp_path / "extra_package" / "__init__.py").touch()
    assert answer(name, FASHION, again=0).problem is None


def installed(folder: Path, package: str, model: str) -> None:
    """As pip leaves a package that lists models under the entry point."""
    (folder / package).mkdir(parents=True)
    (folder / package / "__init__.py").write_text("")
    (folder / package / "nets.py").write_text(
        "from torch import nn\n"
        f"MODELS = {{{model!r}: lambda classes: nn.Sequential(nn.Flatten(), nn.Linear(784, classes))}}\n"
    )
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[fashion_core.models]\nnets = {package}.nets\n")


@pytest.mark.slow
def test_installed_packages_and_a_module_by_its_name_are_used_beside_each_other(tmp_path: Path) -> None:
    """One that can't be imported harms none of the others."""
    for package, model in (("one_package", "one"), ("other_package", "other"), ("third_package", "third")):
        installed(tmp_path / "site", package, model)
    (tmp_path / "site" / "other_package" / "nets.py").write_text("import gone_away")
    (tmp_path / "our_nets.py").write_text(
        (tmp_path / "site" / "one_package" / "nets.py").read_text().replace("one", "our")
    )
    code = """
from fashion_core.runs import team_models
print(*team_models.names())
print(*team_models.problems())
"""
    search = f"{tmp_path / 'site'}{os.pathsep}{tmp_path}"
    done = python(code, PYTHONPATH=search, FASHION_RUNS=str(tmp_path / "runs"), FASHION_MODELS="our_nets")
    names, problems = done.stdout.splitlines()
    assert names.split() == ["mlp", "cnn", "resnet18", "our", "one", "third"], done.stderr
    assert problems == "other_package.nets can't be imported: ModuleNotFoundError: No module named 'gone_away'"


@pytest.mark.slow
def test_process_that_ends_without_an_answer_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked of it: here a model whose building ends it."""
    name = written(tmp_path, monkeypatch, "import os\nMODELS = {'net': lambda: os._exit(0)}")
    monkeypatch.setenv("FASHION_MODELS", name)
    with pytest.raises(WorkerError, match=r"The process that was asked ended without an answer: exit status 0$"):
        processes.ask("model", "net", "--shape", "1,28,28,10")
