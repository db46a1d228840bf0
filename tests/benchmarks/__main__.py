"""Run one benchmark and print its medians, or with ``--json`` each time it took."""

import argparse
import importlib
import json
import sys
from dataclasses import asdict
from operator import truediv
from pathlib import Path
from statistics import median

from fashion_core.errors import FashionError
from tests.benchmarks import Comparison


def benchmarks() -> dict[str, str]:
    texts = {path.stem: path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))}
    return {name: text.partition("\n")[0].strip('"') for name, text in texts.items() if "\ndef run(" in text}


def main() -> None:
    parser = argparse.ArgumentParser("python -m tests.benchmarks", formatter_class=argparse.RawTextHelpFormatter)
    explained = "\n".join(f"{name}: {what}" for name, what in benchmarks().items())
    parser.add_argument("name", choices=benchmarks(), help=explained)
    parser.add_argument("--json", action="store_true", help="print each time as JSON")
    for number in ("runs", "epochs"):
        parser.add_argument(
            f"--{number}", type=int, help="of the store, for those that fill one", default=argparse.SUPPRESS
        )
    arguments = parser.parse_args()
    sizes = {name: value for name, value in vars(arguments).items() if name in ("runs", "epochs")}
    try:
        comparison: Comparison = importlib.import_module(f"{__package__}.{arguments.name}").run(**sizes)
    except FashionError as error:
        sys.exit(str(error))
    print(json.dumps(asdict(comparison), indent=2) if arguments.json else as_text(comparison))


def as_text(comparison: Comparison) -> str:
    reference, unit = comparison.milliseconds[comparison.reference], comparison.unit
    lines = [f"{comparison.title}; medians of {len(reference)} rounds in turn"]
    for name, times in comparison.milliseconds.items():
        part = f"{median(times) / median(reference):.3f} of it{_by_round(times, reference)}"
        beside = f"{median(times) - median(reference):+.2f} {unit}, {part}"
        beside = "the reference" if name == comparison.reference else beside
        lines.append(f"  {name:34} {median(times):8.2f} {unit}  ({min(times):.2f} to {max(times):.2f})  {beside}")
    return "\n".join(lines)


def _by_round(times: list[float], reference: list[float]) -> str:
    """What disturbs the machine for a few rounds changes the medians, but not what is compared within a round."""
    if len(times) != len(reference) or len(times) == 1:
        return ""
    return f", {median(map(truediv, times, reference)):.3f} by round"


if __name__ == "__main__":
    main()
