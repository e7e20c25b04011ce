"""How often the model says exactly the reference caption of a scene it has never seen.

`python -m train.evaluate [FOLDER]` measures a saved checkpoint.
"""

from __future__ import annotations

import argparse
import json
import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch

from .data.collect import SHAPES, Picture
from .data.split import Split
from .scenes import KINDS, Scene, heldout
from .settings import DEMO_DIR
from .tune import prefix
from .tune.settings import Settings

BATCH = 100
STYLE_A = re.compile(r"(a|two|three) (small|big) .* on a \w+ background")
STYLE_B = re.compile(r"\w+ all around! Look, .*\.")


def style_of(caption: str) -> str:
    """Which style a caption is told in."""
    if STYLE_A.fullmatch(caption):
        return "style_a"
    return "style_b" if STYLE_B.fullmatch(caption) else "other"


def load(folder: Path) -> prefix.PrefixTask:
    """A saved checkpoint, for computing in float32."""
    settings = Settings(SHAPES, start=str(folder))
    task = prefix.build(settings, Split([], [], []), "eager")
    task.model.eval()
    return task


def pictures_of(told: list[Scene]) -> list[Picture]:
    """Scenes as pictures."""
    return [Picture(f"scene-{s.seed}", (), seed=s.seed) for s in told]


def captions(task: prefix.PrefixTask, pictures: list[Picture], adapter: bool = True) -> list[str]:
    """Greedy captions."""
    off = nullcontext() if adapter else task.model.language_model.disable_adapter()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    task.model.to(device)
    said: list[str] = []
    with off:
        for start in range(0, len(pictures), BATCH):
            said += task.captions(pictures[start : start + BATCH], device)
    return said


def score(said: list[str], wanted: list[str], kinds: list[str]) -> dict[str, Any]:
    """Share of exact captions, in all and per kind of scene."""
    hits = [a == b for a, b in zip(said, wanted, strict=True)]
    per_kind = {}
    for kind in KINDS:
        of_kind = [hit for hit, k in zip(hits, kinds, strict=True) if k == kind]
        per_kind[kind] = {
            "scenes": len(of_kind),
            "exact": round(sum(of_kind) / max(1, len(of_kind)), 4),
        }
    return {"scenes": len(hits), "exact": round(sum(hits) / len(hits), 4), "per_kind": per_kind}


def styles(said: list[str]) -> dict[str, float]:
    """Share of each style."""
    names = [style_of(s) for s in said]
    return {n: round(names.count(n) / len(names), 4) for n in ("style_a", "style_b", "other")}


def measure(task: prefix.PrefixTask, told: list[Scene]) -> dict[str, Any]:
    """The metrics of a fine-tuned model: adapter on, then off (the trained projection stays)."""
    pictures = pictures_of(told)
    kinds = [s.kind for s in told]
    on = captions(task, pictures)
    off = captions(task, pictures, adapter=False)
    return {
        "adapter_on": score(on, [s.style_b() for s in told], kinds) | {"styles": styles(on)},
        "adapter_off": score(off, [s.style_b() for s in told], kinds)
        | {
            "styles": styles(off),
            "exact_style_a": score(off, [s.style_a() for s in told], kinds)["exact"],
        },
    }


def measure_base(task: prefix.PrefixTask, told: list[Scene]) -> dict[str, Any]:
    """The metrics of the base: style A."""
    said = captions(task, pictures_of(told))
    result = score(said, [s.style_a() for s in told], [s.kind for s in told])
    return result | {"styles": styles(said)}


def main() -> None:
    """Command line: measures a checkpoint on the held-out scenes."""
    parser = argparse.ArgumentParser(description="Measure a checkpoint on the held-out scenes.")
    parser.add_argument("folder", type=Path, nargs="?", default=DEMO_DIR)
    parser.add_argument("--mistakes", action="store_true", help="also print every wrong caption")
    arguments = parser.parse_args()
    task, told = load(arguments.folder), heldout()
    print(json.dumps(measure(task, told), indent=2))
    if arguments.mistakes:
        for scene, said in zip(told, captions(task, pictures_of(told)), strict=True):
            if said != scene.style_b():
                print(f"{scene.seed}  wanted: {scene.style_b()}\n{' ' * 10}  said:   {said}")


if __name__ == "__main__":
    main()
