"""From a picture to `pixel_values`, as the checkpoint's own preprocessing will do it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..data.rows import read_json
from ..errors import TrainError
from .families import Encoder

FILE = "preprocessor_config.json"


@dataclass(frozen=True)
class Preprocessing:
    """To RGB, to the square of the tower, to numbers."""

    processor: str
    side: int
    resample: int
    factor: float
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def square(self, image: Image.Image) -> np.ndarray:
        """Bytes [side, side, 3]."""
        if image.size != (self.side, self.side):
            image = image.resize((self.side, self.side), Image.Resampling(self.resample))
        return np.asarray(image)

    def pixels(self, squares: np.ndarray) -> Tensor:
        """Bytes [n, side, side, 3] to float [n, 3, side, side]."""
        values = torch.from_numpy(squares).permute(0, 3, 1, 2).float() * self.factor
        mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (self.mean, self.std))
        return (values - mean) / std

    def save(self, folder: Path) -> None:
        """Writes the file that processors and `lorapress press` read."""
        settings = {
            "image_processor_type": self.processor,
            "do_convert_rgb": True,
            "do_resize": True,
            "size": {"height": self.side, "width": self.side},
            "resample": self.resample,
            "do_rescale": True,
            "rescale_factor": self.factor,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        (folder / FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _square_side(settings: dict[str, Any], side: int, path: Path) -> None:
    size = settings.get("size", side)
    named = size if isinstance(size, dict) else {"side": size}
    sides = set(named.values())
    if settings.get("do_center_crop") or "shortest_edge" in named:
        raise TrainError(f"{path}: pictures that are cut out are not trained on, only resized ones")
    if sides != {side}:
        raise TrainError(f"{path}: size {json.dumps(size)}, the encoder's image_size is {side}")


def read_preprocessing(folder: Path | None, row: Encoder, side: int) -> Preprocessing:
    """The encoder folder's own, else the usual one of its family."""
    half = (0.5, 0.5, 0.5)
    usual = Preprocessing(row.processor, side, row.resample, 1 / 255, half, half)
    if folder is None or not (folder / FILE).is_file():
        return usual
    path = folder / FILE
    settings = read_json(path)
    if not isinstance(settings, dict):
        raise TrainError(f"{path}: expected an object")
    _square_side(settings, side, path)
    for key in ("do_resize", "do_rescale", "do_normalize"):
        if settings.get(key) is False:
            raise TrainError(f"{path}: {key} is false, which is not trained with")
    return Preprocessing(
        row.processor,
        side,
        int(settings.get("resample", row.resample)),
        float(settings.get("rescale_factor", 1 / 255)),
        tuple(settings.get("image_mean") or half),
        tuple(settings.get("image_std") or half),
    )
