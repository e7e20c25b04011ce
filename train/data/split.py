"""Eight tenths to train, one to validate, one to test: by seed and by picture."""

from __future__ import annotations

import random
from dataclasses import dataclass

from ..errors import TrainError
from .collect import LEAST_PICTURES, Picture


@dataclass(frozen=True)
class Split:
    """No picture is in two of the three."""

    train: list[Picture]
    validation: list[Picture]
    test: list[Picture]


def split(pictures: list[Picture], seed: int, sample: int | None = None) -> Split:
    """The same pictures and the same seed give the same split; `sample` takes so many of them.

    All captions of a picture go with it.
    """
    if sample is not None and not sample >= LEAST_PICTURES:
        raise TrainError(f"SAMPLE {sample}, expected {LEAST_PICTURES} or more")
    if sample is not None and sample > len(pictures):
        raise TrainError(f"SAMPLE {sample}, the data set has {len(pictures)} pictures")
    order = sorted(pictures, key=lambda picture: picture.name)
    random.Random(seed).shuffle(order)
    order = order[:sample]
    share = len(order) // 10
    return Split(order[2 * share :], order[:share], order[share : 2 * share])
