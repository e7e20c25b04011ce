"""Measure the program; bench/run.sh says how to call this.

Every build step alternates with cp of the same checkpoint (what it reads) and with cp of its own
output (what it writes). Outputs are removed and the disk is synced before each timer starts; the
page cache is warm and nothing is flushed inside a timer. Ratios are medians over the pairs.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import shutil
import statistics
import time
from pathlib import Path
from typing import Any

from captions import captions, spread
from children import (
    BenchError,
    clear,
    copy_seconds,
    cpu_name,
    folder_bytes,
    run,
    say,
    wait_for_quiet,
)
from engine import engine_tables
from report import markdown
from report import steps as step_table

HERE = Path(__file__).resolve().parent
MEGABYTE = 1e6
PATIENCE = 15.0  # seconds that a round waits for other programs to finish

# What each step promises: times the seconds of cp, peak memory, size of the decoder.
TARGETS = {
    "merge": {"cp_ratio": 1.5, "peak_mb": 150},
    "export": {"cp_ratio": 2.5, "peak_mb": 200, "decoder_mb": 539},
    "export, five dtypes": {"cp_output_ratio": 3.0, "peak_mb": 200},
}
STEPS = {
    "merge": ["merge"],
    "export": ["export"],
    "export, five dtypes": ["export", "--dtype", "fp32,fp16,q8,q4,q4f16"],
    "press": ["press"],
}
# What captions promise: times the seconds of what they are compared with, and of bytes.
SINGLE_RATIO = 1.0
SINGLE_BYTES_RATIO = 1.01
BEAM_RATIO = 1.6


def build_step(
    program: Path, command: list[str], checkpoint: Path, work: Path, rounds: int
) -> dict[str, Any]:
    """Time one step in turns with cp of its input and cp of its output."""
    out, copy, kept = work / "out", work / "copy", work / "kept"
    verb, *options = command
    clear(kept)
    # Warms the page cache; its output is what cp copies below.
    run([program, verb, checkpoint, kept, *options])
    rows, idle = [], []
    for _ in range(rounds):
        idle.append(wait_for_quiet(PATIENCE))
        copied_input = copy_seconds(checkpoint, copy)
        clear(copy)
        clear(out)
        step = run([program, verb, checkpoint, out, *options])
        clear(out)
        copied_output = copy_seconds(kept, copy)
        clear(copy)
        rows.append((step, copied_input, copied_output))
    sizes = {str(p.relative_to(kept)): p.stat().st_size for p in kept.rglob("*") if p.is_file()}
    result = {
        "rounds": rounds,
        "idle": statistics.median(idle),
        "seconds": spread([step.seconds for step, _, _ in rows]),
        "cpu_seconds": min(step.cpu_seconds for step, _, _ in rows),
        "cp_input_seconds": spread([copied for _, copied, _ in rows]),
        "cp_output_seconds": spread([copied for _, _, copied in rows]),
        "cp_input_ratio": statistics.median(step.seconds / copied for step, copied, _ in rows),
        "cp_output_ratio": statistics.median(step.seconds / copied for step, _, copied in rows),
        "peak_mb": max(step.peak_bytes for step, _, _ in rows) / MEGABYTE,
        "input_mb": folder_bytes(checkpoint) / MEGABYTE,
        "output_mb": folder_bytes(kept) / MEGABYTE,
        "files": {name: size for name, size in sorted(sizes.items()) if size > MEGABYTE},
    }
    clear(kept)
    return result


def memory_by_size(
    program: Path, maker: Path, work: Path, shapes: list[tuple[str, str]]
) -> list[dict[str, Any]]:
    """Peak memory of merge and export over model sizes; it must not grow with them."""
    rows = []
    for shape, dtype in shapes:
        say(f"memory at {shape} {dtype}")
        checkpoint, out = work / "sized", work / "out"
        clear(checkpoint)
        run([maker, checkpoint, "--shape", shape, "--dtype", dtype])
        row: dict[str, Any] = {
            "shape": shape,
            "dtype": dtype,
            "input_mb": folder_bytes(checkpoint) / MEGABYTE,
        }
        for verb in ("merge", "export"):
            clear(out)
            step = run([program, verb, checkpoint, out])
            row[verb] = {
                "peak_mb": step.peak_bytes / MEGABYTE,
                "output_mb": folder_bytes(out) / MEGABYTE,
            }
        clear(out)
        clear(checkpoint)
        rows.append(row)
    return rows


def judge_captions(spoken: dict[str, Any]) -> list[dict[str, Any]]:
    """The same for captions."""
    rows = []
    for dtype, value in spoken["single_ratio"].items():
        rows.append((f"{dtype}: single graph / loop over two graphs, ms", value, SINGLE_RATIO))
        size = spoken["sizes"][dtype]["ratio"]
        rows.append((f"{dtype}: single graph / two graphs, bytes", size, SINGLE_BYTES_RATIO))
    for dtype, value in spoken["beam_ratio"].items():
        rows.append((f"{dtype}: 3 beams / greedy, ms", value, BEAM_RATIO))
    return [{"what": what, "value": v, "most": m, "met": v <= m} for what, v, m in rows]


def judge(steps: dict[str, Any]) -> list[dict[str, Any]]:
    """Set the measured numbers beside the promised ones."""
    rows = []
    for verb, promised in TARGETS.items():
        step = steps[verb]
        decoder = step["files"].get("onnx/decoder_model_merged.onnx", 0) / MEGABYTE
        found = {
            "cp_ratio": ("seconds / cp of the input", step["cp_input_ratio"]),
            "cp_output_ratio": ("seconds / cp of the output", step["cp_output_ratio"]),
            "peak_mb": ("peak memory, MB", step["peak_mb"]),
            "decoder_mb": ("decoder, MB", decoder),
        }
        for key, most in promised.items():
            what, value = found[key]
            rows.append(
                {"what": f"{verb}: {what}", "value": value, "most": most, "met": value <= most}
            )
    return rows


def measure_steps(
    arguments: argparse.Namespace, names: list[str], checkpoint: Path, work: Path
) -> dict[str, Any]:
    """Make the checkpoint and time these steps."""
    rounds = arguments.rounds or (3 if arguments.quick else 7)
    say(f"making the checkpoint ({arguments.shape})")
    clear(checkpoint)
    run([arguments.make_checkpoint, checkpoint, "--shape", arguments.shape])
    steps = {}
    for name in names:
        say(f"{name}, {rounds} rounds")
        steps[name] = build_step(arguments.program, STEPS[name], checkpoint, work, rounds)
    return steps


def measure(arguments: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Run everything."""
    program, maker = arguments.program, arguments.make_checkpoint
    load = os.getloadavg()[0]
    checkpoint = work / "checkpoint"
    steps = measure_steps(arguments, list(STEPS), checkpoint, work)
    say("captions")
    runner = maker.parent / "single_captions"
    spoken = captions(program, runner, checkpoint, work, arguments.quick, arguments.threads)
    clear(checkpoint)
    shapes = [("tiny", "f32"), ("135m", "f32"), ("135m", "bf16")]
    shapes += [] if arguments.quick else [("360m", "f32")]
    memory = memory_by_size(program, maker, work, shapes)
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "program": run([program, "--version"]).output.strip(),
        "shape": arguments.shape,
        "machine": {
            "cpu": cpu_name(),
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "load_before": load,
            "load_after": os.getloadavg()[0],
        },
        "targets": judge(steps) + judge_captions(spoken),
        "steps": steps,
        "captions": spoken,
        "memory": memory,
    }


def measure_engine(arguments: argparse.Namespace, work: Path) -> None:
    """Print and write the tables of the own engine, each when it is there."""
    tables = engine_tables(
        arguments.program, arguments.make_checkpoint, work, arguments.quick, arguments.threads
    )
    with (arguments.out / "engine.md").open("w") as file:
        machine = f"{cpu_name()}, {os.cpu_count()} cores, {platform.platform()}\n"
        for text in itertools.chain([machine], tables):
            print(text, flush=True)
            file.write(text + "\n")
            file.flush()


def main() -> int:
    """Parse arguments, measure, write latest.json and latest.md."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=Path)
    parser.add_argument("make_checkpoint", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--step", choices=STEPS, help="time this one alone, write nothing")
    parser.add_argument(
        "--only", choices=["engine"], help="the own engine beside others; write engine.md alone"
    )
    parser.add_argument("--shape", default="135m")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    work = arguments.out / "work"
    work.mkdir(parents=True, exist_ok=True)
    try:
        if arguments.step:
            step = measure_steps(arguments, [arguments.step], work / "checkpoint", work)
            print(step_table({"steps": step}))
            return 0
        if arguments.only:
            measure_engine(arguments, work)
            return 0
        result = measure(arguments, work)
    except (BenchError, OSError) as error:
        say(str(error))
        return 2
    finally:
        shutil.rmtree(work, ignore_errors=True)
    (arguments.out / "latest.json").write_text(json.dumps(result, indent=2) + "\n")
    text = markdown(result)
    (arguments.out / "latest.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
