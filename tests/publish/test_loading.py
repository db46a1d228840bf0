"""The code of the model card, run in its folder as printed, where torch and safetensors are and nothing of this app."""

import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch

from fashion_core.config import FASHION, MODEL_LABELS, Shape
from fashion_core.data import batches
from fashion_core.formats.load import load
from fashion_core.inference import engine
from fashion_core.publish import hub
from fashion_core.runs.run import Run
from tests.support.datasets import add_dataset, data_folder
from tests.support.processes import python
from tests.support.runs import trained
from tests.support.zoo import TEAM, zoo_store

ALONE = """
import os
import sys
from pathlib import Path

allowed, threads, team, *folders = sys.argv[1:]
allowed = {*sys.stdlib_module_names, *allowed.split(","), "model", *(path.stem for path in Path(team).glob("*.py"))}
sys.path.append(team)


class Alone:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is not here", name=name)


sys.meta_path.insert(0, Alone())
import torch

torch.set_num_threads(int(threads))
sys.path.insert(0, "")  # as of a script in the folder
for folder in folders:
    os.chdir(folder)
    sys.modules.pop("model", None)
    code = {}
    exec(compile(Path("code.py").read_text(), "code.py", "exec"), code)
    torch.save(code["probabilities"](torch.load("images.pt", weights_only=True)), "found.pt")
print(*({"fashion_core", "torchvision", "numpy"} & {*sys.modules}))
"""
COLOUR = Shape(3, 20, 24, 4)


def with_what_it_needs(*names: str) -> Iterator[str]:
    """The modules of these packages and of all that they require."""
    modules = metadata.packages_distributions()
    known, waiting = set(), list(names)
    while waiting:
        if (name := re.sub(r"[-_.]+", "-", waiting.pop()).lower()) in known:
            continue
        known.add(name)
        try:
            needed = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # for another system or Python
            continue
        waiting += [re.split(r"[^\w.-]", one)[0] for one in needed if "extra ==" not in one]
    for module, packages in modules.items():
        if {re.sub(r"[-_.]+", "-", package).lower() for package in packages} & known:
            yield module


def run_as_printed(folders: list[Path]) -> list[str]:
    """Run the code of each card in its folder, where ``images.pt`` becomes ``found.pt``; return what is printed."""
    for folder in folders:
        (code,) = re.findall(r"```python\n(.*?)\n```", (folder / "README.md").read_text(), re.DOTALL)
        assert len([line for line in code.splitlines() if line]) <= 15
        (folder / "code.py").write_text(code)
    here = ",".join(with_what_it_needs("torch", "safetensors"))
    done = python(ALONE, "-I", arguments=(here, str(torch.get_num_threads()), str(TEAM), *map(str, folders)))
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def ours(run: Run, images: torch.Tensor) -> torch.Tensor:
    model = load(run.checkpoint_path(0), dataset=run.record.description, model=run.record.config.model).model
    pixels, device = run.record.config.pixels, torch.device("cpu")
    return engine.probabilities(model, images, pixels, run.record.description, device)


@pytest.mark.slow
def test_card_gives_the_same_probabilities_to_the_last_bit(tmp_path: Path) -> None:
    """A team's own model too, where its module can be imported."""
    settings = {"mlp": "unit", "cnn": "standard", "resnet18": "raw", "lenet": "standard"}
    assert settings.keys() >= MODEL_LABELS.keys()
    folders = {name: tmp_path / name for name in settings}
    with data_folder(tmp_path / "data") as data, zoo_store(tmp_path / "runs", data) as store:
        sets = {"mlp": add_dataset("greys", FASHION), "cnn": add_dataset("colours", COLOUR)}
        expected = {}
        for model, pixels in settings.items():
            name = sets["mlp" if model in ("mlp", "lenet") else "cnn"].name
            run = trained(store, model=model, dataset=name, pixels=pixels, epochs=1, train_images=100)
            hub.publish(store, run, 0, folders[model])
            images = batches.load(name)[1].pixels
            torch.save(images, folders[model] / "images.pt")
            expected[model] = ours(run, images)
    *printed, last = run_as_printed([*folders.values()])
    assert last == ""
    assert all(re.fullmatch(r" *\d+\.\d% kind \d", line) for line in printed)
    for model, folder in folders.items():
        assert torch.equal(torch.load(folder / "found.pt", weights_only=True), expected[model]), model
    assert "must be importable" in (folders["lenet"] / "README.md").read_text()
    with_code = {model for model, folder in folders.items() if (folder / "model.py").exists()}
    assert with_code == {"mlp", "cnn", "resnet18"}
