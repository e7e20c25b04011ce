"""Where the parts of a captioner come from: folders, the hub's client, or nothing at all."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from .. import tokenizer as words
from ..data.rows import read_json
from ..errors import TrainError
from ..model import text_config, vision_config
from .families import DECODERS, ENCODERS, Encoder
from .names import HEAD, text_tensors, tower_tensors
from .pictures import Preprocessing, read_preprocessing

OWN = "prefix_conditioning_vlm"
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)
HUB_FILES = ["*.json", "*.jinja", "*.safetensors", "merges.txt", "tokenizer.model"]


@dataclass
class Parts:
    """An encoder and a decoder in float32, and what belongs to them."""

    row: Encoder
    vision: PreTrainedModel
    preprocessing: Preprocessing
    text: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    tokenizer_folder: Path | None  # None: learned here
    fresh: set[str] = field(default_factory=set)

    def save_tokenizer(self, folder: Path) -> None:
        """The decoder's own files as they are, or the new one."""
        if self.tokenizer_folder is None:
            words.save(self.tokenizer, folder)
            return
        for name in TOKENIZER_FILES:
            if (self.tokenizer_folder / name).is_file():
                shutil.copyfile(self.tokenizer_folder / name, folder / name)


def folder_of(name: str, variable: str) -> Path:
    """A folder, or what the hub's client fetches (or has) for an id ORG/NAME."""
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise TrainError(f"{variable} {name}: no config.json in this folder")
        return folder
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise TrainError(f"{variable} {name}: no such folder, and no id ORG/NAME of the hub")
    try:
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(name, allow_patterns=HUB_FILES))
    except ImportError:
        raise TrainError(
            f"{variable} {name}: no such folder, and ids need huggingface_hub (pip install)"
        ) from None
    except Exception as error:  # every way in which a network can fail has its own class
        reason = " ".join(str(error).split())[:200]
        raise TrainError(
            f"{variable} {name}: no such folder, and the hub does not give it: {reason}"
        ) from None


def _config(folder: Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    if not isinstance(config, dict):
        raise TrainError(f"{folder / 'config.json'}: expected an object")
    return config


def _weights(folder: Path) -> dict[str, Tensor]:
    path = folder / "model.safetensors"
    if not path.is_file():
        raise TrainError(f"{path} is missing")
    return load_file(path)


def _fill(model: PreTrainedModel, tensors: dict[str, Tensor], folder: Path) -> None:
    model.float()
    found = model.load_state_dict({n: t.float() for n, t in tensors.items()}, strict=False)
    tied = {HEAD} if getattr(model.config, "tie_word_embeddings", False) else set()
    missing = set(found.missing_keys) - tied
    if missing or found.unexpected_keys:
        names = sorted(missing) or found.unexpected_keys
        what = "missing" if missing else "not expected"
        raise TrainError(f"{folder}: {len(names)} tensors are {what}, the first: {names[0]}")
    model.tie_weights()


def _encoder(folder: Path, attention: str) -> tuple[Encoder, PreTrainedModel]:
    config = _config(folder)
    outer = config.get("model_type")
    inner = config["vision_config"] if isinstance(config.get("vision_config"), dict) else config
    for row in ENCODERS:
        kind = inner.get("model_type", row.model_type if outer == row.outer else None)
        if kind != row.model_type:
            continue
        if outer == OWN:
            made = row.config.from_dict(inner)
            made._attn_implementation = attention
            model = row.model(made)
            _fill(model, tower_tensors(_weights(folder), model, row), folder)
        else:
            model = row.model.from_pretrained(folder, attn_implementation=attention)
        return row, model.float()
    known = ", ".join(row.model_type for row in ENCODERS)
    raise TrainError(
        f"{folder / 'config.json'}: encoder {inner.get('model_type', outer)}, "
        f"expected one of {known}"
    )


def _text_config(folder: Path) -> PreTrainedConfig:
    config = _config(folder)
    inner = dict(config["text_config"]) if config.get("model_type") == OWN else config
    kind = inner.get("model_type")
    if kind not in DECODERS:
        raise TrainError(
            f"{folder / 'config.json'}: decoder {kind}, expected one of {', '.join(DECODERS)}"
        )
    return AutoConfig.for_model(**inner)


def _decoder(folder: Path, attention: str) -> PreTrainedModel:
    config = _text_config(folder)
    if _config(folder).get("model_type") != OWN:
        return AutoModelForCausalLM.from_pretrained(folder, attn_implementation=attention).float()
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    _fill(model, text_tensors(_weights(folder)), folder)
    return model


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a decoder's folder, which must have an end token."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
    except (OSError, ValueError) as error:
        raise TrainError(f"{folder}: no tokenizer: {' '.join(str(error).split())[:200]}") from None
    if tokenizer.eos_token_id is None:
        raise TrainError(f"{folder}: the tokenizer has no end token, so captions cannot end")
    return tokenizer


def gather(
    encoder: str | None, decoder: str | None, captions: list[str] | None, attention: str
) -> Parts:
    """Both parts. `captions`: what a tokenizer may be learned from where no decoder is named;
    without them (a data set other than `shapes`) both names are needed.
    """
    for name, variable in ((encoder, "ENCODER"), (decoder, "DECODER")):
        if name is None and captions is None:
            raise TrainError(
                f"{variable} is not given, expected a folder or an id of the hub "
                "(only DATASET=shapes has small ones of its own)"
            )
    fresh = set()
    if encoder is None:
        row, encoder_folder = ENCODERS[0], None
        made = vision_config()
        made._attn_implementation = attention
        vision: PreTrainedModel = row.model(made)
        fresh.add("encoder")
    else:
        encoder_folder = folder_of(encoder, "ENCODER")
        row, vision = _encoder(encoder_folder, attention)
    if decoder is None:
        decoder_folder = None
        tokenizer = words.learn(captions or [])
        config = text_config(len(tokenizer))
        text = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
        fresh.add("decoder")
    else:
        decoder_folder = folder_of(decoder, "DECODER")
        tokenizer, text = load_tokenizer(decoder_folder), _decoder(decoder_folder, attention)
    side = vision.config.image_size
    if not isinstance(side, int):
        raise TrainError(f"ENCODER {encoder}: image_size {side}, expected one number")
    preprocessing = read_preprocessing(encoder_folder, row, side)
    return Parts(row, vision, preprocessing, text, tokenizer, decoder_folder, fresh)
