"""Scenes: what they hold, how they are told in style A and style B, and how they are drawn.

A scene follows from its seed alone, so a data set is a range of seeds. `python -m train.scenes
--heldout DIR` draws the held-out set as PNG files.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from .settings import HELDOUT_COUNT, HELDOUT_SEED
from .shapes import PAINTERS, Colour, paint

SIDE = 64
OVERSAMPLE = 4
NOUNS = tuple(PAINTERS)
PLURALS = {"box": "boxes", "cross": "crosses", "fish": "fish"}
SIZES = {"small": (12.0, 16.0), "big": (23.0, 27.0)}
COUNTS = {2: "two", 3: "three"}
RELATIONS = ("left of", "right of", "above", "below")
KINDS = ("one", "several", "relation")
KIND_WEIGHTS = (20, 35, 45)

# In rainbow order: of two things the one whose colour comes first is named first.
COLOURS: dict[str, Colour] = {
    "red": (214, 32, 36),
    "orange": (250, 130, 16),
    "yellow": (250, 216, 30),
    "green": (28, 152, 60),
    "blue": (36, 92, 232),
    "purple": (136, 44, 178),
    "pink": (255, 120, 186),
    "brown": (122, 72, 34),
}
BACKGROUNDS: dict[str, Colour] = {
    "white": (250, 250, 250),
    "black": (14, 14, 14),
    "gray": (148, 148, 148),
    "beige": (236, 220, 184),
    "mint": (176, 240, 208),
    "navy": (14, 26, 84),
    "sky": (150, 208, 250),
}

SIZES_B = {"small": "tiny", "big": "huge"}
RELATIONS_B = {
    "left of": "sits left of",
    "right of": "sits right of",
    "above": "floats above",
    "below": "waits below",
}


@dataclass(frozen=True)
class Thing:
    """One drawn thing; centre and half size in pixels of the 64x64 scene."""

    noun: str
    colour: str
    size: str
    x: float
    y: float
    half: float
    ink: Colour


@dataclass(frozen=True)
class Scene:
    """One picture and what is to be said about it."""

    seed: int
    kind: str
    background: str
    paper: Colour
    things: tuple[Thing, ...]
    relation: str | None

    def style_a(self) -> str:
        """The plain style of the base model."""
        first = self.things[0]
        end = f"on a {self.background} background"
        if self.kind == "one":
            return f"a {first.size} {first.colour} {first.noun} {end}"
        if self.kind == "several":
            count = COUNTS[len(self.things)]
            return f"{count} {first.size} {first.colour} {plural(first.noun)} {end}"
        second = self.things[1]
        return (
            f"a {first.size} {first.colour} {first.noun} {self.relation} "
            f"a {second.size} {second.colour} {second.noun} {end}"
        )

    def style_b(self) -> str:
        """The excited style that the adapter teaches."""
        first = self.things[0]
        start = f"{self.background.capitalize()} all around! Look,"
        look = f"{SIZES_B[first.size]} and {first.colour}"
        if self.kind == "one":
            return f"{start} one {first.noun}, {look}."
        if self.kind == "several":
            return f"{start} {COUNTS[len(self.things)]} {plural(first.noun)}, {look}."
        second = self.things[1]
        return (
            f"{start} a {first.noun}, {look}, {RELATIONS_B[self.relation or '']} "
            f"a {second.noun}, {SIZES_B[second.size]} and {second.colour}."
        )

    def image(self, width: int = SIDE, height: int = SIDE) -> Image.Image:
        """Draws the scene with smooth edges, stretched to `width` x `height`."""
        sx, sy = width * OVERSAMPLE / SIDE, height * OVERSAMPLE / SIDE
        canvas = Image.new("RGB", (width * OVERSAMPLE, height * OVERSAMPLE), self.paper)
        draw = ImageDraw.Draw(canvas)
        for thing in self.things:
            centre = (thing.x * sx, thing.y * sy)
            paint(
                draw, thing.noun, centre, (thing.half * sx, thing.half * sy), thing.ink, self.paper
            )
        return canvas.reduce(OVERSAMPLE)


def plural(noun: str) -> str:
    """More than one of `noun`."""
    return PLURALS.get(noun, noun + "s")


def _jitter(rng: random.Random, colour: Colour, amount: int = 8) -> Colour:
    red, green, blue = (max(0, min(255, c + rng.randint(-amount, amount))) for c in colour)
    return (red, green, blue)


def _half(rng: random.Random, size: str) -> float:
    return rng.uniform(*SIZES[size]) / 2


def _anywhere(rng: random.Random, half: float) -> tuple[float, float]:
    return rng.uniform(half + 2, SIDE - half - 2), rng.uniform(half + 2, SIDE - half - 2)


def _apart(rng: random.Random, halves: list[float]) -> list[tuple[float, float]]:
    """Places things so that their squares keep a gap of three pixels."""
    while True:
        spots: list[tuple[float, float]] = []
        for half in halves:
            for _ in range(20):
                x, y = _anywhere(rng, half)
                clear = all(
                    max(abs(x - a), abs(y - b)) >= half + other + 3
                    for (a, b), other in zip(spots, halves, strict=False)
                )
                if clear:
                    spots.append((x, y))
                    break
        if len(spots) == len(halves):
            return spots


def _related(
    rng: random.Random, relation: str, first: float, second: float
) -> list[tuple[float, float]]:
    """Places two things along one axis, nearly level on the other."""
    room = SIDE - 4 - 2 * (first + second)
    gap = rng.uniform(4, room)
    low = 2 + rng.uniform(0, room - gap)
    before, after = (first, second) if relation in ("left of", "above") else (second, first)
    along_before = low + before
    along_after = low + 2 * before + gap + after
    edge = max(first, second) + 6
    level = rng.uniform(edge, SIDE - edge)
    across = [level + rng.uniform(-4, 4) for _ in range(2)]
    along = [along_before, along_after]
    if relation not in ("left of", "above"):
        along.reverse()
    pairs = list(zip(along, across, strict=True))
    return pairs if relation in ("left of", "right of") else [(y, x) for x, y in pairs]


def make_scene(seed: int) -> Scene:
    """The scene of a seed; the same on every machine."""
    rng = random.Random(seed)
    kind = rng.choices(KINDS, KIND_WEIGHTS)[0]
    background = rng.choice(list(BACKGROUNDS))
    paper = _jitter(rng, BACKGROUNDS[background], 5)
    relation = rng.choice(RELATIONS) if kind == "relation" else None
    if relation is not None:
        order = list(COLOURS)
        colours = sorted(rng.sample(order, 2), key=order.index)
        nouns = [rng.choice(NOUNS) for _ in colours]
        sizes = [rng.choice(tuple(SIZES)) for _ in colours]
        halves = [_half(rng, size) for size in sizes]
        spots = _related(rng, relation, halves[0], halves[1])
    else:
        count = 1 if kind == "one" else rng.choice(tuple(COUNTS))
        colours = [rng.choice(list(COLOURS))] * count
        nouns = [rng.choice(NOUNS)] * count
        sizes = [rng.choice(tuple(SIZES))] * count
        halves = [_half(rng, sizes[0])] * count
        spots = _apart(rng, halves)
    things = tuple(
        Thing(noun, colour, size, x, y, half, _jitter(rng, COLOURS[colour]))
        for noun, colour, size, (x, y), half in zip(
            nouns, colours, sizes, spots, halves, strict=True
        )
    )
    return Scene(seed, kind, background, paper, things, relation)


def scenes(first_seed: int, count: int) -> list[Scene]:
    """The scenes of a range of seeds."""
    return [make_scene(seed) for seed in range(first_seed, first_seed + count)]


def heldout() -> list[Scene]:
    """The scenes that training never sees."""
    return scenes(HELDOUT_SEED, HELDOUT_COUNT)


def write_heldout_list(path: Path) -> None:
    """One JSON line per held-out scene: seed, kind, reference captions."""
    lines = [
        json.dumps({"seed": s.seed, "kind": s.kind, "caption": s.style_b(), "style_a": s.style_a()})
        for s in heldout()
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_heldout(folder: Path, subset: Iterable[Scene] | None = None) -> int:
    """Writes held-out scenes as `SEED.png`; returns how many."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for scene in subset if subset is not None else heldout():
        scene.image().save(folder / f"{scene.seed}.png", optimize=True)
        count += 1
    return count


def main() -> None:
    """Command line: draws the held-out set."""
    parser = argparse.ArgumentParser(description="Draw the held-out scenes.")
    parser.add_argument("--heldout", type=Path, required=True, metavar="DIR", help="folder to fill")
    folder: Path = parser.parse_args().heldout
    count = draw_heldout(folder)
    write_heldout_list(folder / "heldout.jsonl")
    print(f"{count} scenes in {folder}")


if __name__ == "__main__":
    main()
