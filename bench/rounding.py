"""Compare nearest, searched and calibrated rounding on pictures that no choice was made on.

usage: .venv-train/bin/python bench/rounding.py [--split evaluation|development] [--program FILE]
       .venv-train/bin/python bench/rounding.py --dtypes
       .venv-train/bin/python bench/rounding.py --draw tests/goldens/scenes

Every checkpoint is pressed to q4 with each rounding, at each block size, with and without zero
points, and `lorapress verify` measures each folder: KL of the next-token distribution against an
independent float32 forward, and the tokens that match when the float32 caption is forced. What is
shown is the geometric mean of the ratios to nearest rounding at the same bytes.

Calibration draws scenes of its own (seeds from 30,000,000 on), training and tests never use them.
The development split is the held-out scenes 1 to 150: methods may be chosen on it. The evaluation
split is 151 to 500: nothing may. With --dtypes: every dtype of the demo on all 500. With --draw:
the first scenes of calibration and of the evaluation split, for the unit tests.
Needs Pillow and numpy (train/setup.sh), to draw.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from train.scenes import draw_heldout, heldout, scenes  # noqa: E402

CALIBRATION_SEED = 30_000_000
CALIBRATION_SCENES = 64
TEST_SCENES = 16  # of each kind, in tests/goldens/scenes
SPLITS = {"development": (0, 150), "evaluation": (150, 500)}
GOLDENS = ROOT / "tests" / "goldens" / "checkpoints"
BLOCK_SIZES = (16, 32, 64, 128)
ROUNDINGS = ("nearest", "search", "calibrated")
USUAL_BLOCK = 32


@dataclass(frozen=True)
class Checkpoint:
    """What is pressed: a name to show and the arguments that name it."""

    name: str
    source: tuple[str, ...]


def checkpoints(only: list[str] | None) -> list[Checkpoint]:
    """Return the demo and every golden checkpoint that can be pressed."""
    found = [Checkpoint("demo", (str(ROOT / "models" / "demo"),))]
    for folder in sorted(GOLDENS.iterdir()):
        golden = json.loads((folder / "golden" / "golden.json").read_text(encoding="utf-8"))
        for case in golden["cases"]:
            adapters: list[str] = []
            for adapter in case["adapters"]:
                adapters += ["--adapter", f"{folder / adapter['path']}:{adapter['weight']}"]
            name = folder.name if len(golden["cases"]) == 1 else f"{folder.name}/{case['name']}"
            found.append(Checkpoint(name, (str(folder / golden["checkpoint"]), *adapters)))
    return [c for c in found if not only or c.name in only]


class Bench:
    """Presses and verifies in a folder of its own."""

    def __init__(self, program: Path, work: Path, block_sizes: list[int]) -> None:
        self.program = program
        self.work = work
        self.block_sizes = block_sizes
        self.calibration = self.draw("calibration", scenes(CALIBRATION_SEED, CALIBRATION_SCENES))

    def draw(self, name: str, some: list[Any]) -> Path:
        draw_heldout(self.work / name, some)
        return self.work / name

    def run(self, *arguments: str | Path, fine: tuple[int, ...] = (0,)) -> dict[str, Any]:
        command = [str(self.program), *map(str, arguments), "--json"]
        child = subprocess.run(command, capture_output=True, text=True, check=False)
        if child.returncode not in fine:
            raise SystemExit(f"{' '.join(command)}: exit {child.returncode}\n{child.stderr}")
        return json.loads(child.stdout)

    def press(
        self, checkpoint: Checkpoint, dtypes: str, rounding: str, options: list[str]
    ) -> tuple[Path, float]:
        """Return the folder and the seconds it took."""
        out = self.work / "pressed"
        how = ["--rounding", "nearest" if rounding == "nearest" else "search"]
        if rounding == "calibrated":
            how += ["--calibrate", str(self.calibration)]
        start = time.perf_counter()
        self.run("export", *checkpoint.source, out, "--dtype", dtypes, *how, *options, "--force")
        return out, time.perf_counter() - start

    def verify(self, checkpoint: Checkpoint, out: Path, images: Path) -> list[dict[str, Any]]:
        report = self.run("verify", *checkpoint.source, out, "--images", images, fine=(0, 1))
        if report["faults"] or report["unreadable_images"]:
            raise SystemExit(f"verify {out}: {report['faults']}")
        return report["dtypes"]

    def compare(self, checkpoint: Checkpoint, images: Path) -> list[dict[str, Any]]:
        """Return a row for each form of blocks; its values by rounding."""
        rows = []
        for block_size in self.block_sizes:
            for kind in ("symmetric", "asymmetric"):
                # Activations as they are: rounding them would be part of what is compared.
                options = ["--accuracy-level", "0", "--block-size", str(block_size)]
                options += ["--asymmetric"] if kind == "asymmetric" else []
                row: dict[str, Any] = {"block_size": block_size, "kind": kind}
                for rounding in ROUNDINGS:
                    out, seconds = self.press(checkpoint, "q4", rounding, options)
                    dtype = self.verify(checkpoint, out, images)[0]
                    row[rounding] = {
                        "bytes": dtype["bytes"],
                        "kl": dtype["teacher_forced"]["kl_mean"],
                        "tokens": dtype["teacher_forced"]["tokens"],
                        "matched": dtype["teacher_forced"]["matched"],
                        "seconds": seconds,
                    }
                if len({row[rounding]["bytes"] for rounding in ROUNDINGS}) != 1:
                    raise SystemExit(f"{checkpoint.name}: roundings differ in bytes: {row}")
                rows.append(row)
        return rows


def mean_ratio(rows: list[dict[str, Any]], rounding: str) -> float:
    """Return the geometric mean of KL's ratios to nearest rounding."""
    logs = [math.log(row[rounding]["kl"] / row["nearest"]["kl"]) for row in rows]
    return math.exp(sum(logs) / len(logs))


def match(rows: list[dict[str, Any]], rounding: str) -> str:
    """Return the share of all forced tokens, rounded down."""
    tokens = sum(row[rounding]["tokens"] for row in rows)
    matched = sum(row[rounding]["matched"] for row in rows)
    return f"{math.floor(matched / tokens * 10000) / 100:.2f}"


def usual(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Keep what is written without options: blocks of 32 without zero points."""
    return [r for r in rows if r["block_size"] == USUAL_BLOCK and r["kind"] == "symmetric"]


def ratios(rows: list[dict[str, Any]]) -> str:
    """Say what each rounding loses beside the first."""
    return " | ".join(f"{mean_ratio(rows, r):.2f}" for r in ROUNDINGS[1:])


def matches(rows: list[dict[str, Any]]) -> str:
    """Say how many tokens each rounding leaves equal."""
    return " | ".join(match(rows, r) for r in ROUNDINGS)


def print_models(results: dict[str, list[dict[str, Any]]]) -> None:
    """Print a row for each model: all forms of blocks together, then the default one."""
    print(
        "| model | KL search | KL calibrated | default: search | default: calibrated "
        "| match % nearest | search | calibrated |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, rows in results.items():
        some = usual(rows)
        default = ratios(some) if some else "- | -"
        print(f"| {name} | {ratios(rows)} | {default} | {matches(rows)} |")
    everything = [row for rows in results.values() for row in rows]
    some = usual(everything)
    default = ratios(some) if some else "- | -"
    print(f"| **all** | {ratios(everything)} | {default} | {matches(everything)} |")


def print_forms(rows: list[dict[str, Any]]) -> None:
    """Print a row for each form of blocks of one model."""
    print("| blocks | KL nearest | search | calibrated | match % nearest | search | calibrated |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        values = " | ".join(f"{row[rounding]['kl']:.5f}" for rounding in ROUNDINGS)
        print(f"| {row['block_size']}, {row['kind']} | {values} | {matches([row])} |")


def compare_all(bench: Bench, arguments: argparse.Namespace) -> None:
    """Print the comparison on one split."""
    split = arguments.split
    first, last = SPLITS[split]
    some = heldout()[first:last][: arguments.demo_images]
    images = bench.draw(split, some)
    fewer = bench.draw(f"{split}-goldens", some[: arguments.golden_images])
    results = {}
    for checkpoint in checkpoints(arguments.models):
        start = time.perf_counter()
        rows = bench.compare(checkpoint, images if checkpoint.name == "demo" else fewer)
        results[checkpoint.name] = rows
        print(
            f"{checkpoint.name}: {time.perf_counter() - start:.0f} s; KL {ratios(rows)}; "
            f"match {matches(rows)}",
            file=sys.stderr,
            flush=True,
        )
    goldens = len(some[: arguments.golden_images])
    print(
        f"Held-out scenes {first + 1} to {first + len(some)} (goldens: the first {goldens} of "
        f"them), calibrated on {CALIBRATION_SCENES} other scenes.\n"
    )
    print_models(results)
    if "demo" in results:
        print("\nThe demo, each form of blocks:\n")
        print_forms(results["demo"])


def print_dtypes(bench: Bench) -> None:
    """Print what every dtype of the demo costs on all held-out scenes."""
    demo = checkpoints(["demo"])[0]
    images = bench.draw("heldout", heldout())
    print("| dtype | rounding | bytes | tokens matched % | captions equal | KL mean |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for rounding in ROUNDINGS:
        dtypes = "fp16,q8,int8,q4,q4f16,bnb4" if rounding == "nearest" else "q4,q4f16"
        out, _ = bench.press(demo, dtypes, rounding, [])
        for dtype in bench.verify(demo, out, images):
            forced = dtype["teacher_forced"]
            share = math.floor(forced["matched"] / forced["tokens"] * 10000) / 100
            four = dtype["dtype"] in ("q4", "q4f16")
            print(
                f"| `{dtype['dtype']}` | {rounding if four else '-'} | {dtype['bytes']:,} "
                f"| {share:.2f} | {dtype['captions_equal']}/{dtype['captions']} "
                f"| {forced['kl_mean']:.1e} |",
                flush=True,
            )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--split", choices=tuple(SPLITS), default="evaluation")
    parser.add_argument("--dtypes", action="store_true", help="the demo's dtypes instead")
    parser.add_argument("--draw", type=Path, metavar="DIR", help="draw scenes for tests instead")
    parser.add_argument("--demo-images", type=int, default=350, metavar="N")
    parser.add_argument("--program", type=Path, default=ROOT / "build" / "lorapress")
    parser.add_argument("--models", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--block-sizes", nargs="+", type=int, default=list(BLOCK_SIZES))
    parser.add_argument("--golden-images", type=int, default=32, metavar="N")
    arguments = parser.parse_args()
    if arguments.draw:
        first = SPLITS["evaluation"][0]
        draw_heldout(arguments.draw / "calibration", scenes(CALIBRATION_SEED, TEST_SCENES))
        draw_heldout(arguments.draw / "evaluation", heldout()[first : first + TEST_SCENES])
        return
    with tempfile.TemporaryDirectory(prefix="lorapress-rounding-") as work:
        bench = Bench(arguments.program.resolve(), Path(work), arguments.block_sizes)
        if arguments.dtypes:
            print_dtypes(bench)
        else:
            compare_all(bench, arguments)


if __name__ == "__main__":
    main()
