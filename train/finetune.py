"""Stage 2: LoRA on the decoder and the projection, on style B."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .loop import Data, Run, Spent, shuffled, trim
from .model import PrefixCaptioner
from .settings import Settings


def finetune(
    model: PrefixCaptioner,
    pictures: Data,
    settings: Settings,
    folder: Path,
    device: torch.device,
) -> Spent:
    """Trains a model that `add_lora` has prepared; the towers stay as they are."""
    rows_at = shuffled(settings.seed + 1, len(pictures.images), settings.batch, settings.parts)

    def loss_of(step: int, part: int) -> Tensor:
        rows = rows_at(step, part)
        with torch.no_grad():
            features = model.vision_encoder(
                pixel_values=pictures.pixels(rows, device)
            ).last_hidden_state
        return model.loss(model.projection(features), trim(pictures.labels[rows]).to(device))

    stage = Run("finetune", model, settings.finetune, folder)
    return stage.go(loss_of, settings.parts, device)
