"""The trainer's class: encoder, projection, decoder with LoRA; names are those of the checkpoint.

The picture becomes a prefix of embeddings. No start token follows: the caption's first token is
predicted at the last image position.
"""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import PreTrainedModel

from ..errors import TrainError
from .families import DECODERS, Encoder

IGNORED = -100


class Projection(nn.Module):
    """Vision features to decoder embeddings, inside a module called `projection` once more."""

    def __init__(self, kind: str, vision: int, text: int, hidden: int) -> None:
        super().__init__()
        self.projection: nn.Module = nn.Linear(vision, text)
        if kind == "mlp":
            first, last = nn.Linear(vision, hidden), nn.Linear(hidden, text)
            self.projection = nn.Sequential(first, nn.GELU(), nn.Dropout(0.1), last)

    def forward(self, features: Tensor) -> Tensor:
        return self.projection(features)


class PrefixConditioningVLM(nn.Module):
    """Pixels and captions in, mean cross entropy of the captions out."""

    def __init__(
        self,
        row: Encoder,
        vision: PreTrainedModel,
        text: PreTrainedModel,
        projection: Projection,
        lora: LoraConfig,
    ) -> None:
        super().__init__()
        self.row = row
        self.vision_encoder = vision
        self.projection = projection
        self.language_model = get_peft_model(text, lora)
        self.learn_from(None)

    def renew_adapter(self, lora: LoraConfig) -> None:
        """The adapter becomes part of the decoder's own weights; a new one begins."""
        self.language_model = get_peft_model(self.language_model.merge_and_unload(), lora)

    def learn_from(self, teacher: PrefixConditioningVLM | None) -> None:
        """With a teacher the loss is the mean KL divergence of the next token's distribution from
        the teacher's. The teacher is no submodule: it is neither saved nor trained.
        """
        object.__setattr__(self, "teacher", teacher)

    def prefix(self, pixels: Tensor) -> Tensor:
        """Projected image tokens."""
        return self.projection(self.vision_encoder(pixel_values=pixels).last_hidden_state)

    def logits(self, pixel_values: Tensor, labels: Tensor) -> Tensor:
        """What is predicted for each of `labels`, [batch, tokens, vocabulary]."""
        prefix = self.prefix(pixel_values)
        shown = self.language_model.get_input_embeddings()(labels[:, :-1].clamp(min=0))
        embedded = torch.cat([prefix, shown.to(prefix.dtype)], dim=1)
        return self.language_model(
            inputs_embeds=embedded, use_cache=False, logits_to_keep=labels.shape[1]
        ).logits.float()

    def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """`labels` [batch, tokens], filled up with `IGNORED`."""
        found = self.logits(pixel_values, labels)
        if self.teacher is None:
            loss = nn.functional.cross_entropy(
                found.flatten(0, 1), labels.flatten(), ignore_index=IGNORED
            )
            return {"loss": loss}
        with torch.no_grad():
            wanted = self.teacher.to(labels.device).logits(pixel_values, labels)
        seen = labels != IGNORED
        found, wanted = (nn.functional.log_softmax(x[seen], -1) for x in (found, wanted))
        loss = nn.functional.kl_div(found, wanted, reduction="batchmean", log_target=True)
        return {"loss": loss}

    @torch.no_grad()
    def captions(self, pixels: Tensor, most: int, end: int) -> Tensor:
        """Greedy caption tokens by transformers' own generate()."""
        prefix = self.prefix(pixels)
        return self.language_model.generate(
            inputs_embeds=prefix,
            attention_mask=torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device),
            max_new_tokens=most,
            do_sample=False,
            num_beams=1,
            eos_token_id=end,
            pad_token_id=end,
        )

    def encoder_layers(self) -> nn.ModuleList:
        """The tower's layers, the last one nearest to the projection."""
        tower = self.vision_encoder
        tower = getattr(tower, "vision_model", tower)
        return tower.get_submodule(self.row.layers)


def lora_config(model_type: str, rank: int, alpha: int, dropout: float) -> LoraConfig:
    """LoRA on the linear layers that the trainer adapts."""
    return LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=list(DECODERS[model_type]),
        task_type="CAUSAL_LM",
        fan_in_fan_out=model_type == "gpt2",
    )


def choose_trained(model: PrefixConditioningVLM, unfreeze: int, fresh: set[str]) -> None:
    """What learns: LoRA and projection, the last `unfreeze` layers of the encoder, and whole parts
    that are `fresh`, since random weights that stay as they are say nothing.
    """
    layers = model.encoder_layers()
    if unfreeze > len(layers):
        raise TrainError(f"UNFREEZE {unfreeze}, the encoder has {len(layers)} layers")
    model.vision_encoder.requires_grad_("encoder" in fresh)
    if "decoder" in fresh:
        model.language_model.requires_grad_(True)
    model.projection.requires_grad_(True)
    for layer in layers[len(layers) - unfreeze :]:
        layer.requires_grad_(True)
