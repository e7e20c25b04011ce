"""Training of the trainer's own class: the picture is a prefix of embeddings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.collect import DRAWN, Picture
from ..data.rows import fields, read_json
from ..data.split import Split
from ..errors import TrainError
from . import checkpoint
from .model import IGNORED, PrefixConditioningVLM, choose_trained, lora_config
from .parts import OWN, Parts, gather
from .qat import teach
from .settings import Settings
from .task import Kept, Rows


class PrefixTask:
    """Parts, their model, and the checkpoint in the trainer's layout."""

    def __init__(self, parts: Parts, model: PrefixConditioningVLM, settings: Settings) -> None:
        self.parts, self.model, self.settings = parts, model, settings
        self.squares = Kept(self._square)
        self.cut = 0

    def _square(self, picture: Picture) -> tuple[np.ndarray, int]:
        found = self.parts.preprocessing.square(picture.image())
        return found, found.nbytes

    def _answers(self, captions: list[str]) -> list[list[int]]:
        tokenizer, most = self.parts.tokenizer, self.settings.max_length
        ids = tokenizer(captions, add_special_tokens=False)["input_ids"]
        self.cut += sum(len(row) >= most for row in ids)
        return [[*row[: most - 1], tokenizer.eos_token_id] for row in ids]

    def rows(self, pictures: list[Picture]) -> Rows:
        """A resized picture and the ids of a caption."""
        return Rows(pictures, self._answers, lambda picture, ids: (self.squares.of(picture), ids))

    def collate(self, rows: list[Any]) -> dict[str, Tensor]:
        """Captions are filled up with what the loss ignores."""
        width = max(len(ids) for _, ids in rows)
        labels = [ids + [IGNORED] * (width - len(ids)) for _, ids in rows]
        return {
            "pixel_values": self._pixels([square for square, _ in rows]),
            "labels": torch.tensor(labels),
        }

    def _pixels(self, squares: list[np.ndarray]) -> Tensor:
        return self.parts.preprocessing.pixels(np.stack(squares))

    def captions(self, pictures: list[Picture], device: torch.device) -> list[str]:
        """By transformers' own generate()."""
        tokenizer = self.parts.tokenizer
        pixels = self._pixels([self.squares.of(p) for p in pictures]).to(device)
        tokens = self.model.captions(pixels, self.settings.max_length, tokenizer.eos_token_id)
        return tokenizer.batch_decode(tokens, skip_special_tokens=True)

    def rate(self, name: str) -> float:
        """The trainer's rates; one for all where there are new parts."""
        settings = self.settings
        if self.parts.fresh:
            return settings.fresh_rate
        if name.startswith("projection."):
            return settings.projection_rate
        if name.startswith("vision_encoder."):
            return settings.lora_rate * settings.vision_factor
        return settings.lora_rate

    def save(self, folder: Path) -> None:
        """Everything, unmerged, in one file."""
        checkpoint.save(self.model, self.parts, self.settings, folder)

    def load(self, folder: Path) -> None:
        """A checkpoint of the same parts."""
        checkpoint.load(self.model, folder)


def _as_start(settings: Settings) -> Settings:
    """With the kind of projection and adapter that the checkpoint of FROM has."""
    path = Path(settings.start or "") / "config.json"
    if not path.is_file():
        raise TrainError(f"FROM {settings.start}: no config.json there, expected a checkpoint")
    config = read_json(path)
    keys = ("model_type", "lora_r", "lora_alpha", "projection_type")
    kind, rank, alpha, projection = fields(config, keys, str(path))
    if kind != OWN or not isinstance(rank, int) or not isinstance(alpha, int | float):
        raise TrainError(f"{path}: {kind} with lora_r {rank}, expected {OWN} with a LoRA")
    return replace(settings, lora_rank=rank, lora_alpha=alpha, projection=projection)


def follow_start(settings: Settings) -> Settings:
    """With FROM the checkpoint decides, whatever else was given; a new adapter is as given."""
    if settings.start is None or settings.model is not None:
        return settings
    start = _as_start(settings)
    return replace(settings, projection=start.projection) if settings.adapter == "new" else start


def build(settings: Settings, shares: Split, attention: str) -> PrefixTask:
    """Model and parts; what is new is random."""
    if settings.projection == "lora":
        raise TrainError("PROJECTION lora needs MODEL, a whole model; expected linear or mlp")
    learned_from = None
    if settings.dataset in DRAWN:
        learned_from = [caption for p in shares.train for caption in p.captions]
    encoder, decoder = settings.encoder or settings.start, settings.decoder or settings.start
    parts = gather(encoder, decoder, learned_from, attention)
    model = checkpoint.build(parts, settings if settings.start is None else _as_start(settings))
    if settings.start is not None:
        checkpoint.load(model, Path(settings.start))
    elif settings.adapter == "new":
        raise TrainError("ADAPTER new needs FROM, the checkpoint whose adapter is merged")
    if settings.adapter == "new":
        rank, alpha, dropout = settings.lora_rank, settings.lora_alpha, settings.lora_dropout
        model.renew_adapter(lora_config(parts.text.config.model_type, rank, alpha, dropout))
    choose_trained(model, settings.unfreeze, parts.fresh)
    if settings.qat is not None:
        teach(model)
    config = model.language_model.config
    tokens = (parts.preprocessing.side // model.vision_encoder.config.patch_size) ** 2
    room = getattr(config, "max_position_embeddings", None)
    if room is not None and tokens + settings.max_length > room:
        raise TrainError(
            f"MAX_LENGTH {settings.max_length}: with {tokens} image tokens the decoder's "
            f"{room} positions are not enough"
        )
    return PrefixTask(parts, model, settings)
