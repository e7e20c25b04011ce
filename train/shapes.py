"""The ten things a scene can show, drawn into a square of any size."""

from __future__ import annotations

import math
from collections.abc import Callable

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]
Place = Callable[[float, float], Point]
Painter = Callable[[ImageDraw.ImageDraw, Place, Colour, Colour], None]


def _ellipse(
    draw: ImageDraw.ImageDraw, at: Place, box: tuple[float, float, float, float], fill: Colour
) -> None:
    left, top, right, bottom = box
    draw.ellipse([at(left, top), at(right, bottom)], fill=fill)


def _polygon(draw: ImageDraw.ImageDraw, at: Place, points: list[Point], fill: Colour) -> None:
    draw.polygon([at(x, y) for x, y in points], fill=fill)


def _arc(centre: Point, radius: float, start: float, stop: float, steps: int = 24) -> list[Point]:
    angles = [math.radians(start + (stop - start) * i / steps) for i in range(steps + 1)]
    return [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles]


def _ball(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    _ellipse(draw, at, (-1, -1, 1, 1), ink)


def _box(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    _polygon(draw, at, [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)], ink)


def _star(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    points = []
    for i in range(10):
        radius = 1.1 if i % 2 == 0 else 0.45
        angle = math.pi * i / 5 - math.pi / 2
        points.append((radius * math.cos(angle), 0.08 + radius * math.sin(angle)))
    _polygon(draw, at, points, ink)


def _heart(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    points = []
    for i in range(40):
        t = 2 * math.pi * i / 40
        x = math.sin(t) ** 3
        y = (13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t)) / 16
        points.append((x, -y * 1.05 - 0.1))
    _polygon(draw, at, points, ink)


def _moon(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    outer = _arc((0.1, 0), 1.0, 60, 300)
    inner = _arc((0.6, 0), 0.866, 270, 90)
    _polygon(draw, at, outer + inner, ink)


def _ring(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    _ellipse(draw, at, (-1, -1, 1, 1), ink)
    _ellipse(draw, at, (-0.52, -0.52, 0.52, 0.52), paper)


def _cross(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    _polygon(draw, at, [(-0.32, -1), (0.32, -1), (0.32, 1), (-0.32, 1)], ink)
    _polygon(draw, at, [(-1, -0.32), (1, -0.32), (1, 0.32), (-1, 0.32)], ink)


def _house(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    _polygon(
        draw,
        at,
        [(-1, -0.1), (0, -1), (1, -0.1), (0.75, -0.1), (0.75, 1), (-0.75, 1), (-0.75, -0.1)],
        ink,
    )
    _polygon(draw, at, [(-0.25, 0.25), (0.25, 0.25), (0.25, 1), (-0.25, 1)], paper)


def _tree(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    _polygon(draw, at, [(0, -1), (0.6, -0.2), (-0.6, -0.2)], ink)
    _polygon(draw, at, [(0, -0.6), (0.9, 0.5), (-0.9, 0.5)], ink)
    _polygon(draw, at, [(-0.2, 0.4), (0.2, 0.4), (0.2, 1), (-0.2, 1)], ink)


def _fish(draw: ImageDraw.ImageDraw, at: Place, ink: Colour, paper: Colour) -> None:
    _ellipse(draw, at, (-1, -0.6, 0.55, 0.6), ink)
    _polygon(draw, at, [(0.25, 0), (1, -0.65), (1, 0.65)], ink)
    _ellipse(draw, at, (-0.72, -0.28, -0.44, 0.0), paper)


PAINTERS: dict[str, Painter] = {
    "ball": _ball,
    "box": _box,
    "cross": _cross,
    "fish": _fish,
    "heart": _heart,
    "house": _house,
    "moon": _moon,
    "ring": _ring,
    "star": _star,
    "tree": _tree,
}


def paint(
    draw: ImageDraw.ImageDraw,
    noun: str,
    centre: Point,
    half: Point,
    ink: Colour,
    paper: Colour,
) -> None:
    """Draws `noun` around `centre`; `half` is half its width and height in pixels."""

    def at(x: float, y: float) -> Point:
        return (centre[0] + x * half[0], centre[1] + y * half[1])

    PAINTERS[noun](draw, at, ink, paper)
