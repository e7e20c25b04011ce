"""The whole recipe in order: draw, learn words, train twice, save."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedTokenizerFast

from . import tokenizer as words
from .evaluate import measure_base
from .finetune import finetune
from .loop import Data, Spent, pad, pick_device
from .model import PrefixCaptioner, build
from .pretrain import pretrain
from .scenes import draw_set, heldout, scenes
from .settings import TRAIN_SEED, Settings

TOKENIZER_SCENES = 20_000


@dataclass
class Trained:
    """A trained model and what it took."""

    model: PrefixCaptioner
    tokenizer: PreTrainedTokenizerFast
    pretrain: Spent
    finetune: Spent
    base_metrics: dict[str, Any]


def draw_training_set(settings: Settings, folder: Path) -> np.ndarray:
    """Draws the training pictures, or reads them if this folder has them already."""
    path = folder / f"scenes-{TRAIN_SEED}-{settings.scenes}.npy"
    if path.exists():
        return np.load(path)
    images = draw_set(TRAIN_SEED, settings.scenes)
    np.save(path, images)
    return images


def train(settings: Settings, folder: Path, measured: bool = True) -> Trained:
    """Runs both stages; `folder` keeps what a broken-off run needs to go on.

    `measured` also scores the base model between the stages.
    """
    folder.mkdir(parents=True, exist_ok=True)
    device = pick_device()
    torch.manual_seed(settings.seed)
    images = draw_training_set(settings, folder)
    told = [(s.style_a(), s.style_b()) for s in scenes(TRAIN_SEED, settings.scenes)]
    style_a, style_b = [a for a, _ in told], [b for _, b in told]
    tokenizer = words.learn(style_a[:TOKENIZER_SCENES] + style_b[:TOKENIZER_SCENES])
    pictures_a = Data(images, pad(words.encode(tokenizer, style_a)))
    pictures_b = Data(images, pad(words.encode(tokenizer, style_b)))

    model = build(len(tokenizer)).to(device)
    count = sum(p.numel() for p in model.parameters())
    print(f"{len(tokenizer)} tokens, {count:,} parameters, {device.type}", flush=True)
    first = pretrain(model, pictures_a, pictures_b.labels, settings, folder, device)
    before = measure_base(model, tokenizer, heldout()) if measured else {}
    print(f"style A after stage 1: {before}", flush=True)
    model.add_lora(settings.lora_rank, settings.lora_alpha)
    model.to(device)
    count = sum(p.numel() for p in model.parameters() if p.requires_grad)
    print(f"{count:,} parameters to fine-tune", flush=True)
    second = finetune(model, pictures_b, settings, folder, device)
    return Trained(model.eval(), tokenizer, first, second, before)
