"""Run one benchmark and print its medians, or with ``--json`` each time it took."""

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from statistics import median

from fashion_core.errors import FashionError
from tests.benchmarks import Comparison

BENCHMARKS = {
    "training": "a fifth of an epoch of the tutorial's network: ours beside the tutorial's loop and the bare products",
    "pages": "each page with 1,000 runs of 20 checkpoints, at the server",
    "store": "1,000 runs of 20 checkpoints: listing them, from the disk and again, against reading their JSON alone",
    "viewers": "a run that trains, watched by 20 and by 40: refreshes, first paint, and what training loses",
    "metrics": "live charts of 1,000,000 rows: a refresh against reading all of them",
    "memory": "the server's memory over 1,000 visits",
    "comparison": "150 resumed runs: from their folders to what the browser is sent",
    "training_cnn": "a part of an epoch of the small CNN: ours beside the plain loop",
    "training_gpu": "a whole epoch of the tutorial's network on the first GPU: ours beside the tutorial's loop there",
    "starting": "from the click on Start to the first metric row, and to the first loss on the page",
    "snapshot": "how long training waits for a checkpoint, beside an epoch",
    "saving": "a checkpoint of the tutorial's model: plain torch.save against ours",
    "predicting": "10,000 test images and one: plain PyTorch against the Predict page's process",
    "inspect": "a look into a checkpoint of 500 MB: torch.load against ours",
}
"""The modules of this folder that have a ``run() -> Comparison``."""


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", formatter_class=argparse.RawTextHelpFormatter)
    explained = "\n".join(f"{name}: {what}" for name, what in BENCHMARKS.items())
    parser.add_argument("name", choices=BENCHMARKS, help=explained)
    parser.add_argument("--json", action="store_true", help="print each time as JSON")
    arguments = parser.parse_args()
    try:
        comparison: Comparison = importlib.import_module(f"{__package__}.{arguments.name}").run()
    except FashionError as error:
        sys.exit(str(error))
    print(json.dumps(asdict(comparison), indent=2) if arguments.json else as_text(comparison))


def as_text(comparison: Comparison) -> str:
    reference = median(comparison.milliseconds[comparison.reference])
    rounds = len(comparison.milliseconds[comparison.reference])
    lines = [f"{comparison.title}; medians of {rounds} rounds in turn"]
    unit = comparison.unit
    for name, times in comparison.milliseconds.items():
        beside = f"{median(times) - reference:+.2f} {unit}, {median(times) / reference:.3f} of it"
        beside = "the reference" if name == comparison.reference else beside
        lines.append(f"  {name:34} {median(times):8.2f} {unit}  ({min(times):.2f} to {max(times):.2f})  {beside}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
