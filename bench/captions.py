"""Captions of a checkpoint in every way that is promised to be fast, in turns.

Rows of one round are processes one after the other; ratios are medians over the rounds, so that a
slow phase of the machine, which meets neighbours alike, does not decide.
"""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from children import clear, folder_bytes, run, say, wait_for_quiet

IMAGES = Path(__file__).resolve().parent.parent / "tests" / "goldens" / "images"
PICTURES = ("jpeg_420.jpg", "jpeg_422.jpg", "jpeg_progressive.jpg", "jpeg_rgb.jpg")
MEGABYTE = 1e6
PATIENCE = 15.0
SUFFIXES = {"fp32": "", "q8": "_quantized", "q4": "_q4"}  # of the single graph's files
BEAMS = ("--num-beams", "3")


@dataclass
class Row:
    """One way to caption, and what its processes said."""

    name: str
    command: list[Any]
    runs: list[list[dict[str, Any]]] = field(default_factory=list)  # per process and image
    peaks: list[int] = field(default_factory=list)
    dtypes: dict[str, str] | None = None  # what a wish came to

    def measure(self) -> None:
        """Run once; the first image of a process is its warm-up."""
        child = run(self.command)
        document = json.loads(child.output)
        for caption in document["captions"]:
            steps = (caption.get(f"{part}_ms", 0.0) for part in ("encode", "prefill", "decode"))
            caption.setdefault("whole_ms", sum(steps))
        self.runs.append(document["captions"][1:])
        self.peaks.append(child.peak_bytes)
        self.dtypes = document.get("dtypes")

    def values(self, key: str) -> list[float]:
        """Return one figure of every caption."""
        return [caption[key] for captions in self.runs for caption in captions if key in caption]

    def tokens(self) -> list[float]:
        """Return the milliseconds per token after the first."""
        return [
            caption["decode_ms"] / (len(caption["ids"]) - 1)
            for captions in self.runs
            for caption in captions
            if "decode_ms" in caption and len(caption["ids"]) > 1
        ]

    def ids(self) -> list[list[int]]:
        """Return the tokens of the last process."""
        return [caption["ids"] for caption in self.runs[-1]]

    def best(self, process: int) -> float:
        """Return the least time of a whole caption in one process."""
        return min(caption["whole_ms"] for caption in self.runs[process])


def ratio(over: Row, under: Row) -> float:
    """Return the median over the rounds of the ratio of their best captions."""
    return statistics.median(
        over.best(i) / under.best(i) for i in range(min(len(over.runs), len(under.runs)))
    )


def spread(values: list[float]) -> dict[str, float]:
    """Return the numbers to quote: the best and the usual."""
    return {"min": min(values), "median": statistics.median(values)}


def press(program: Path, checkpoint: Path, work: Path, dtypes: list[str]) -> tuple[Path, Path]:
    """Write both folders that are compared."""
    loop, single = work / "model", work / "single"
    clear(loop)
    clear(single)
    shared = [program, "export", checkpoint]
    # int8 beside them is what `auto` takes for many positions.
    listed = ",".join([*dtypes, "int8"])
    run([*shared, loop, "--dtype", listed])
    run([*shared, single, "--bundle", "single", "--dtype", ",".join(dtypes)])
    return loop, single


def rows_of(
    program: Path, runner: Path, folders: tuple[Path, Path], dtypes: list[str], threads: int
) -> list[Row]:
    """Return the rows; those that are compared stand together."""
    loop, single = folders
    pictures = [IMAGES / name for name in PICTURES]
    caption = [program, "caption", loop, *pictures, "--json", "--threads", threads]
    rows = []
    for dtype in dtypes:
        rows.append(Row(dtype, [*caption, "--dtype", dtype]))
        graph = f"onnx/model{SUFFIXES[dtype]}.onnx"
        rows.append(Row(f"{dtype}, single graph", [runner, single, graph, threads, *pictures]))
        rows.append(Row(f"{dtype}, 3 beams", [*caption, "--dtype", dtype, *BEAMS]))
    rows.append(Row("auto", [*caption, "--dtype", "auto"]))
    rows.append(Row("auto, 3 beams", [*caption, "--dtype", "auto", *BEAMS]))
    return rows


def sizes(folders: tuple[Path, Path], dtypes: list[str]) -> dict[str, dict[str, float]]:
    """Return the bytes of the one graph and of the two, by dtype."""
    loop, single = folders
    found = {}
    for dtype in dtypes:
        two = [
            loop / "onnx" / f"{graph}{SUFFIXES[dtype]}.onnx"
            for graph in ("encoder_model", "decoder_model_merged")
        ]
        one = single / "onnx" / f"model{SUFFIXES[dtype]}.onnx"
        pair = sum(path.stat().st_size for path in two)
        found[dtype] = {
            "single_mb": one.stat().st_size / MEGABYTE,
            "two_graphs_mb": pair / MEGABYTE,
            "ratio": one.stat().st_size / pair,
        }
    return found


def summary(row: Row) -> dict[str, Any]:
    """Return a row as numbers."""
    result: dict[str, Any] = {
        "name": row.name,
        "caption_ms": spread(row.values("whole_ms")),
        "tokens": [len(ids) for ids in row.ids()],
        "peak_mb": max(row.peaks) / MEGABYTE,
    }
    if row.tokens():
        result["token_ms"] = spread(row.tokens())
        result["encode_ms"] = spread(row.values("encode_ms"))
        result["prefill_ms"] = spread(row.values("prefill_ms"))
    if row.dtypes:
        result["dtypes"] = row.dtypes
    return result


def captions(
    program: Path, runner: Path, checkpoint: Path, work: Path, quick: bool, threads: int
) -> dict[str, Any]:
    """Caption the pictures in several processes per row."""
    dtypes = ["fp32", "q4"] if quick else ["fp32", "q8", "q4"]
    rounds = 2 if quick else 7
    folders = press(program, checkpoint, work, dtypes)
    rows = rows_of(program, runner, folders, dtypes, threads)
    idle = []
    for number in range(rounds):
        say(f"captions, round {number + 1} of {rounds}")
        for row in rows:
            idle.append(wait_for_quiet(PATIENCE))
            row.measure()
    by_name = {row.name: row for row in rows}
    result = {
        "threads": threads,
        "idle": statistics.median(idle),
        "processes": rounds,
        "images": len(PICTURES) - 1,
        "rows": [summary(row) for row in rows],
        "single_ratio": {d: ratio(by_name[f"{d}, single graph"], by_name[d]) for d in dtypes},
        "single_same_ids": {
            d: by_name[f"{d}, single graph"].ids() == by_name[d].ids() for d in dtypes
        },
        "beam_ratio": {d: ratio(by_name[f"{d}, 3 beams"], by_name[d]) for d in [*dtypes, "auto"]},
        "auto_gain": ratio(by_name["fp32"], by_name["auto"]),
        "sizes": sizes(folders, dtypes),
        "folder_mb": folder_bytes(folders[0]) / MEGABYTE,
    }
    for folder in folders:
        clear(folder)
    return result
