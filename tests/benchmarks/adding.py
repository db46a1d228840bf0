"""Adding a dataset from Parquet, beside what pyarrow, Pillow and numpy take for its arrays alone.

10,000 PNG files of synthetic garments, 28 × 28, as Hugging Face writes them; ``--runs`` says how many others.
"""

import io
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from fashion_core.config import CLASS_NAMES
from fashion_core.data import adding, synthetic
from fashion_core.data.adding import AddRequest
from fashion_core.data.description import folder_of
from tests.benchmarks import Comparison, alternate, disk_folder
from tests.support.images import stored
from tests.support.sources import hugging_face

IMAGES, ROUNDS = 10_000, 5
PLAIN = "pyarrow, Pillow and numpy"


def run(runs: int = IMAGES) -> Comparison:
    """Each in turn; what was added is removed before the next time."""
    with disk_folder() as folder:
        os.environ["FASHION_DATA"] = str(folder / "data")
        for half, count in (("train", runs - runs // 7), ("test", runs // 7)):
            pixels, labels = synthetic.balanced(count, seed=len(half))
            hugging_face(folder / "set" / f"{half}.parquet", list(map(stored, pixels)), labels.tolist(), CLASS_NAMES)
        request = AddRequest("mine")

        def remove() -> None:
            if folder_of("mine").exists():
                adding.remove("mine")

        ways = {
            PLAIN: lambda: read_plainly(folder / "set", folder),
            "add": lambda: adding.add(str(folder / "set"), request),
            "preview": lambda: preview(str(folder / "set"), request),
        }
        return Comparison(f"{runs:,} images from Parquet to arrays", PLAIN, alternate(ways, ROUNDS, remove))


def preview(source: str, request: AddRequest) -> None:
    with adding.prepared(source, request):
        pass


def read_plainly(source: Path, folder: Path) -> None:
    """The arrays as a script for one dataset makes them, in memory."""
    for half in ("train", "test"):
        table = pq.read_table(source / f"{half}.parquet")
        cells = table["image"].to_pylist()
        np.save(folder / f"{half}.npy", np.stack([np.asarray(Image.open(io.BytesIO(cell["bytes"]))) for cell in cells]))
        np.save(folder / f"{half}-labels.npy", table["label"].to_numpy())
