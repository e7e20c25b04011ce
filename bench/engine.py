"""The own engine beside ONNX Runtime, in turns: captions, load, memory, folders, press.

`bench/run.sh --only engine` calls this. Rows of one round are processes one after the other; ratios
are medians over the rounds.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captions import IMAGES, PATIENCE, PICTURES, spread
from children import clear, copy_seconds, folder_bytes, run, say, wait_for_quiet
from report import pair, table

if TYPE_CHECKING:
    from collections.abc import Iterator

DTYPES = ["fp32", "q8", "q4", "q4f16"]
FIVE = "fp32,fp16,q8,q4,q4f16"
ENGINES = ["native", "ort"]
MEGABYTE = 1e6


def bench(program: Path, model: Path, *options: object) -> dict[str, Any]:
    """Return what `lorapress bench` says of one dtype."""
    command = [program, "bench", model, "--runs", "1", "--json", *map(str, options)]
    document = json.loads(run(command).output)
    return document["dtypes"][0]


def dtypes_table(program: Path, model: Path, rounds: int, threads: int) -> str:
    """Every dtype with either engine."""
    keys = ("caption_ms", "first_token_ms", "token_ms", "load_ms")
    runs: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for number in range(rounds):
        say(f"engine: dtypes, round {number + 1} of {rounds}")
        for dtype in DTYPES:
            for engine in ENGINES:
                wait_for_quiet(PATIENCE)
                found = bench(
                    program, model, "--dtype", dtype, "--engine", engine, "--threads", threads
                )
                runs.setdefault((dtype, engine), []).append(found)
    rows = []
    for dtype in DTYPES:
        for engine in ENGINES:
            rounds_of = runs[dtype, engine]
            cells = [pair(spread([row[key]["least"] for row in rounds_of]), 1) for key in keys]
            peak = max(row["peak_memory_bytes"] for row in rounds_of) / MEGABYTE
            rows.append([dtype, engine, *cells, f"{peak:.0f}"])
        gain = statistics.median(
            theirs["caption_ms"]["least"] / ours["caption_ms"]["least"]
            for ours, theirs in zip(runs[dtype, "native"], runs[dtype, "ort"], strict=True)
        )
        rows[-2][2] += f" ({gain:.2f} x)"
    header = ["dtype", "engine", "caption, ms", "first token, ms", "a token, ms", "load, ms", "MB"]
    return f"### Captions, {threads} threads\n\n{table(header, rows)}\n"


def pictures(folder: Path, count: int) -> None:
    """Copies of a few pictures."""
    clear(folder)
    folder.mkdir(parents=True)
    for number in range(count):
        shutil.copy(IMAGES / PICTURES[number % len(PICTURES)], folder / f"{number:04}.jpg")


def folder_table(
    program: Path, model: Path, work: Path, rounds: int, threads: int, quick: bool
) -> str:
    """A folder of images; the whole process counts."""
    count = 64 if quick else 256
    images = work / "images"
    pictures(images, count)
    shared = ["caption", model, images, "--jsonl", "-", "--threads", str(threads)]
    length = ["--max-new-tokens", "30", "--min-new-tokens", "30"]
    ways = {
        f"{engine}, --dtype {dtype}": [*shared, *length, "--engine", engine, "--dtype", dtype]
        for engine, dtype in (
            ("native", "auto"),
            ("native", "q8"),
            ("native", "q4"),
            ("ort", "auto"),
        )
    }
    runs: dict[str, list[Any]] = {name: [] for name in ways}
    for number in range(rounds):
        say(f"engine: folder of {count}, round {number + 1} of {rounds}")
        for name, command in ways.items():
            wait_for_quiet(PATIENCE)
            runs[name].append(run([program, *command]))
    rival = [child.seconds for child in runs["ort, --dtype auto"]]
    rows = []
    for name, children in runs.items():
        rates = [count / child.seconds for child in children]
        gain = statistics.median(
            theirs / ours.seconds for theirs, ours in zip(rival, children, strict=True)
        )
        peak = max(child.peak_bytes for child in children) / MEGABYTE
        rows.append(
            [
                name,
                f"{max(rates):.2f} / {statistics.median(rates):.2f}",
                f"{gain:.2f}",
                f"{peak:.0f}",
            ]
        )
    clear(images)
    header = ["folder", "images per second, best / median", "times ONNX Runtime's auto", "MB"]
    return f"### A folder of {count} images, {threads} threads\n\n{table(header, rows)}\n"


def press_table(program: Path, maker: Path, work: Path, rounds: int, quick: bool) -> str:
    """Press with its check beside cp of what it writes, and export, which checks nothing."""
    shapes = [("135m", "f32", FIVE), ("smolvlm-256m", "bf16", "fp32,q8,q4")]
    shapes += [] if quick else [("so400m-1.7b", "bf16", "q8,q4")]
    rows = []
    for shape, dtype, dtypes in shapes:
        checkpoint, out, copy = work / "pressed", work / "out", work / "copy"
        clear(checkpoint)
        run([maker, checkpoint, "--shape", shape, "--dtype", dtype])
        ratios, seconds, checks, peaks = [], [], [], {"press": 0.0, "export": 0.0}
        for number in range(rounds if shape == "135m" else 1):
            say(f"engine: press of {shape}, round {number + 1}")
            wait_for_quiet(PATIENCE)
            for verb in ("export", "press"):
                clear(out)
                step = run([program, verb, checkpoint, out, "--dtype", dtypes, "--json"])
                peaks[verb] = max(peaks[verb], step.peak_bytes / MEGABYTE)
            checks.append(json.loads(step.output)["seconds"]["caption"])
            copied = copy_seconds(out, copy)
            clear(copy)
            ratios.append(step.seconds / copied)
            seconds.append(step.seconds)
        written = folder_bytes(out) / MEGABYTE
        clear(out)
        clear(checkpoint)
        rows.append(
            [
                f"{shape}, {dtypes}",
                f"{written:.0f}",
                pair(spread(seconds)),
                pair(spread(checks)),
                f"{statistics.median(ratios):.2f}",
                f"{peaks['press']:.0f}",
                f"{peaks['export']:.0f}",
            ]
        )
    header = [
        "press",
        "MB written",
        "s",
        "of which check, s",
        "times cp of it",
        "MB, press",
        "MB, export",
    ]
    return f"### Press with its check\n\n{table(header, rows)}\n"


@contextmanager
def foreign_job(core: int) -> Iterator[None]:
    """Keep one core busy."""
    code = f"import os; os.sched_setaffinity(0, {{{core}}})\nwhile True: pass"
    job = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        job.kill()
        job.wait()


def busy_table(program: Path, model: Path, rounds: int) -> str:
    """Two threads while another program has one of the cores, beside one thread alone."""
    core = min(os.sched_getaffinity(0))
    alone, beside = [], []
    for number in range(rounds):
        say(f"engine: a busy core, round {number + 1} of {rounds}")
        wait_for_quiet(PATIENCE)
        alone.append(bench(program, model, "--dtype", "q4", "--threads", 1)["caption_ms"]["median"])
        with foreign_job(core):
            found = bench(program, model, "--dtype", "q4", "--threads", 2)
        beside.append(found["caption_ms"]["median"])
    ratio = statistics.median(busy / one for busy, one in zip(beside, alone, strict=True))
    rows = [
        ["1 thread, quiet machine", pair(spread(alone), 0), ""],
        ["2 threads, a foreign job on one core", pair(spread(beside), 0), f"{ratio:.2f}"],
    ]
    header = ["q4, native", "caption, ms (median of a process)", "times"]
    return f"### A busy machine\n\n{table(header, rows)}\n"


def engine_tables(
    program: Path, maker: Path, work: Path, quick: bool, threads: int
) -> Iterator[str]:
    """Measure; every table as soon as it is there."""
    rounds = 2 if quick else 5
    checkpoint, model = work / "checkpoint", work / "model"
    say("engine: making the checkpoint")
    clear(checkpoint)
    run([maker, checkpoint, "--shape", "135m"])
    clear(model)
    run([program, "export", checkpoint, model, "--dtype", ",".join([*DTYPES, "int8"])])
    clear(checkpoint)
    yield dtypes_table(program, model, rounds, threads)
    yield folder_table(program, model, work, 1 if quick else 3, threads, quick)
    yield busy_table(program, model, rounds)
    clear(model)
    yield press_table(program, maker, work, rounds, quick)
