"""Stage 1: everything end to end on style A."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from .loop import Data, Run, Spent, shuffled, trim
from .model import IGNORED, PrefixCaptioner
from .settings import Settings


def pretrain(
    model: PrefixCaptioner,
    pictures: Data,
    words: Tensor,
    settings: Settings,
    folder: Path,
    device: torch.device,
) -> Spent:
    """Trains both towers on style A.

    `words` are style-B captions of the same scenes. A few rows of each batch show one of them
    behind a prefix of zeros: the decoder learns the words, and nothing ties them to a picture.
    """
    blind = settings.zero_prefix_rows // settings.parts
    rows_at = shuffled(settings.seed, len(pictures.images), settings.batch, settings.parts)

    def loss_of(step: int, part: int) -> Tensor:
        rows = rows_at(step, part)
        seen, unseen = rows[blind:], rows[:blind]
        prefix = model.prefix(pictures.pixels(seen, device))
        zeros = prefix.new_zeros(len(unseen), model.image_tokens, model.text_width)
        labels = torch.full((len(rows), max(pictures.labels.shape[1], words.shape[1])), IGNORED)
        labels[: len(seen), : pictures.labels.shape[1]] = pictures.labels[seen]
        labels[len(seen) :, : words.shape[1]] = words[unseen]
        return model.loss(torch.cat([prefix, zeros]), trim(labels).to(device))

    return Run("pretrain", model, settings.pretrain, folder).go(loss_of, settings.parts, device)
