"""From a data set's rows to its pictures: every name found, every defect told in one line."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from ..errors import TrainError
from ..scenes import SIDE, make_scene
from ..settings import TRAIN_SEED
from .formats import tables

SHAPES = "shapes"  # style B
PLAIN = "shapes-plain"  # style A, and what style B's words are
DRAWN = (SHAPES, PLAIN)
SHAPES_COUNT = 20_000
BLANK_EVERY = 16  # of `shapes-plain`
LEAST_PICTURES = 10  # a tenth of them is the smallest share of the split


@dataclass(frozen=True)
class Picture:
    """A picture with its captions: a file, or a scene that is drawn from its seed."""

    name: str
    captions: tuple[str, ...]
    path: Path | None = None
    seed: int = 0
    blank: bool = False  # black, whatever the seed

    def image(self) -> Image.Image:
        """RGB pixels, upright as the file's Exif data say."""
        if self.blank:
            return Image.new("RGB", (SIDE, SIDE))
        if self.path is None:
            return make_scene(self.seed).image()
        try:
            with Image.open(self.path) as opened:
                return upright(opened)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise TrainError(f"{self.path}: not an image that can be read ({error})") from None


def upright(image: Image.Image) -> Image.Image:
    """Turned as Exif says; alpha is dropped and not blended, as `lorapress caption` does."""
    return ImageOps.exif_transpose(image).convert("RGB")


class Finder:
    """Finds pictures of a folder by the names that tables of captions have for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.below: dict[str, list[Path]] | None = None

    def find(self, name: str) -> Path | None:
        """As a path below the folder, else by the bare name anywhere below it."""
        direct = self.folder / name
        if name and direct.is_file():
            return direct
        if self.below is None:
            self.below = {}
            for root, folders, files in os.walk(self.folder):
                folders[:] = sorted(f for f in folders if not f.startswith("."))
                for file in sorted(files):
                    self.below.setdefault(file, []).append(Path(root) / file)
        found = self.below.get(Path(name).name, [])
        if len(found) > 1:
            raise TrainError(f"{self.folder}: {name} is the name of {found[0]} and of {found[1]}")
        return found[0] if found else None


class Defects:
    """Defects by kind: the first of each, and how many there are."""

    def __init__(self) -> None:
        self.first: dict[str, str] = {}
        self.count: dict[str, int] = {}

    def add(self, kind: str, what: str) -> None:
        self.first.setdefault(kind, what)
        self.count[kind] = self.count.get(kind, 0) + 1

    def check(self) -> None:
        """Raises if there are any; one line tells all kinds."""
        if self.first:
            told = [
                what + (f" ({kind}: {self.count[kind]} in all)" if self.count[kind] > 1 else "")
                for kind, what in self.first.items()
            ]
            raise TrainError("; ".join(told))


def _opens(path: Path) -> bool:
    try:
        with Image.open(path):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def _read_folder(folder: Path, name: str | None) -> list[Picture]:
    chosen, files = tables(folder, name)
    finder, defects = Finder(folder), Defects()
    found: dict[str, Path | None] = {}
    captions: dict[Path, list[str]] = {}
    for file in files:
        for row in chosen.read(file):
            where = f"{file}: {row.where}"
            if row.image not in found:
                # ImageFolder's names are relative to the table's own folder.
                near = file.parent / row.image
                path = near if row.image and near.is_file() else finder.find(row.image)
                if path is not None and not _opens(path):
                    defects.add("broken", f"{where}: {path} is no image")
                found[row.image] = path
            path = found[row.image]
            caption = " ".join(row.caption.split())
            if path is None:
                defects.add("missing", f"{where}: the image {row.image or '(no name)'} is missing")
            elif not caption:
                defects.add("empty", f"{where}: the caption of {row.image} is empty")
            elif caption in captions.setdefault(path, []):
                defects.add("twice", f"{where}: {row.image} has this caption already")
            else:
                captions[path].append(caption)
    defects.check()
    return [
        Picture(os.path.relpath(path, folder), tuple(said), path)
        for path, said in sorted(captions.items())
    ]


def _drawn(dataset: str, seed: int) -> Picture:
    """A scene. `shapes-plain` is for a base whose adapter learns style B: one picture in sixteen
    is black and has a caption of that style, so that the decoder knows the words, and nothing ties
    them to a picture.
    """
    scene = make_scene(seed)
    if dataset == SHAPES:
        return Picture(f"scene-{seed}", (scene.style_b(),), seed=seed)
    if seed % BLANK_EVERY == BLANK_EVERY - 1:
        return Picture(f"blank-{seed}", (scene.style_b(),), seed=seed, blank=True)
    return Picture(f"scene-{seed}", (scene.style_a(),), seed=seed)


def read_pictures(dataset: str, name: str | None = None, count: int | None = None) -> list[Picture]:
    """All pictures of a folder, sorted by name, or `count` drawn scenes."""
    if dataset in DRAWN:
        seeds = range(TRAIN_SEED, TRAIN_SEED + (count or SHAPES_COUNT))
        pictures = [_drawn(dataset, seed) for seed in seeds]
    else:
        folder = Path(dataset)
        if not folder.is_dir():
            raise TrainError(f"{dataset}: no such folder; DATASET is a folder or {SHAPES}")
        pictures = _read_folder(folder, name)
    if len(pictures) < LEAST_PICTURES:
        raise TrainError(
            f"{dataset}: {len(pictures)} pictures with captions, expected {LEAST_PICTURES} or more"
        )
    return pictures


def digest(pictures: list[Picture]) -> str:
    """Changes with any name or caption."""
    told = hashlib.sha256()
    for picture in pictures:
        told.update(repr((picture.name, picture.captions)).encode())
    return told.hexdigest()
