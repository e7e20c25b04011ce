"""The result of measure.py as tables."""

from __future__ import annotations

from typing import Any

CALLS = ("encode_ms", "prefill_ms", "token_ms")


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a markdown table whose columns are aligned also as plain text."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |"
        for line in lines
    )


def pair(value: dict[str, float], digits: int = 2) -> str:
    """Return "min / median"."""
    return f"{value['min']:.{digits}f} / {value['median']:.{digits}f}"


def targets(result: dict[str, Any]) -> str:
    """Return promised and measured numbers."""
    rows = [
        [row["what"], f"{row['value']:.2f}", f"{row['most']:g}", "yes" if row["met"] else "NO"]
        for row in result["targets"]
    ]
    return table(["target", "measured", "at most", "met"], rows)


def steps(result: dict[str, Any]) -> str:
    """Return the build steps beside cp."""
    rows = []
    for verb, step in result["steps"].items():
        rows.append(
            [
                verb,
                pair(step["seconds"]),
                f"{step['output_mb'] / step['seconds']['min']:.0f}",
                pair(step["cp_input_seconds"]),
                f"{step['cp_input_ratio']:.2f}",
                pair(step["cp_output_seconds"]),
                f"{step['cp_output_ratio']:.2f}",
                f"{step['cpu_seconds']:.2f}",
                f"{step['peak_mb']:.0f}",
                f"{100 * step['idle']:.0f} %",
                f"{step['input_mb']:.1f} -> {step['output_mb']:.1f}",
            ]
        )
    header = [
        "step",
        "s, min / median",
        "MB/s written, best",
        "cp of the input, s",
        "step / cp",
        "cp of the output, s",
    ]
    return table([*header, "step / cp", "CPU s", "peak MB", "idle before", "MB"], rows)


def captions(result: dict[str, Any]) -> str:
    """Return the caption speeds, a row per way to caption."""
    rows = []
    for row in result["captions"]["rows"]:
        parts = [pair(row[part], 1) if part in row else "" for part in CALLS]
        rows.append([row["name"], *parts, pair(row["caption_ms"], 0), f"{row['peak_mb']:.0f}"])
    header = ["best / median", *(part.replace("_", ", ") for part in CALLS)]
    return table([*header, "whole caption, ms", "peak MB"], rows)


def chosen(result: dict[str, Any]) -> str:
    """Return what auto came to, and what it gains."""
    spoken = result["captions"]
    row = next(row for row in spoken["rows"] if row["name"] == "auto")
    parts = ("encoder", "prefill", "decoder")
    dtypes = ",".join(f"{part}={row['dtypes'][part]}" for part in parts)
    same = all(spoken["single_same_ids"].values())
    return (
        f"auto is {dtypes}: {spoken['auto_gain']:.2f} times as fast as fp32. Single graphs gave "
        f"{'the same tokens as' if same else 'OTHER tokens than'} the loop."
    )


def memory(result: dict[str, Any]) -> str:
    """Return peak memory over sizes."""
    rows = [
        [
            f"{row['shape']} {row['dtype']}",
            f"{row['input_mb']:.0f}",
            f"{row['merge']['output_mb']:.0f}",
            f"{row['merge']['peak_mb']:.0f}",
            f"{row['export']['output_mb']:.0f}",
            f"{row['export']['peak_mb']:.0f}",
        ]
        for row in result["memory"]
    ]
    return table(
        ["model", "MB in", "merge MB out", "merge peak MB", "export MB out", "export peak MB"], rows
    )


def markdown(result: dict[str, Any]) -> str:
    """Return the whole report."""
    machine = result["machine"]
    spoken = result["captions"]
    run = f"{spoken['threads']} threads, {spoken['processes']} processes, {spoken['images']} images"
    tokens = max(max(row["tokens"]) for row in spoken["rows"])
    load = f"load {machine['load_before']:.1f} before, {machine['load_after']:.1f} after"
    return "\n".join(
        [
            f"# {result['program']}, {result['date']}",
            "",
            f"{machine['cpu']}, {machine['cores']} cores, {machine['system']}; {load}.",
            f"Random weights at the shape of {result['shape']}; page cache warm, no flush timed.",
            "",
            targets(result),
            "",
            "## Build steps beside cp",
            "",
            steps(result),
            "",
            "Ratios are medians over alternating pairs. Idle before: the share of the machine that",
            "nobody used when a round began (median); much below 90 % the seconds say little.",
            "",
            "## Captions",
            "",
            captions(result),
            "",
            f"{run} each, {tokens} tokens; machine {100 * spoken['idle']:.0f} % idle before.",
            "Rows take turns, ratios are medians over the rounds.",
            chosen(result),
            "",
            "## Memory against model size",
            "",
            memory(result),
            "",
        ]
    )
