"""The small byte-level BPE tokenizer that every golden checkpoint carries."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from common import write_json

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

CORPUS = (
    "a red circle left of a blue square on a green field",
    "two yellow stars above a small house in the snow",
    "a dog sits on the grass and looks at the camera",
    "three black cats sleep under the old wooden table",
    "a person rides a bicycle down a narrow street at night",
    "the boat is on the water near the white bridge",
    "a plate of food with rice, beans and a fried egg",
    "a man in a hat is standing next to a brown horse",
)


def train(vocab_size: int) -> Tokenizer:
    """Train the tokenizer on the fixed sentences; 256 bytes and the specials come first."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    if tokenizer.get_vocab_size() != vocab_size:
        raise ValueError(f"trained {tokenizer.get_vocab_size()} tokens, wanted {vocab_size}")
    return tokenizer


def merges_as_strings(document: dict) -> dict:
    """Rewrite the pairs in model.merges as "a b" strings, the spelling all readers take."""
    merges = document["model"]["merges"]
    if any(isinstance(merge, list) and any(" " in part for part in merge) for merge in merges):
        raise ValueError("a merge has a space in it and cannot be written as one string")
    document["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in merges]
    return document


def save(tokenizer: Tokenizer, folder: Path, eos: int, pad: int | None) -> None:
    """Write tokenizer.json and tokenizer_config.json; `eos` and `pad` index SPECIALS."""
    folder.mkdir(parents=True, exist_ok=True)
    document = merges_as_strings(json.loads(tokenizer.to_str()))
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    config = {
        "bos_token": SPECIALS[1],
        "clean_up_tokenization_spaces": False,
        "eos_token": SPECIALS[eos],
        "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": SPECIALS[0],
    }
    if pad is not None:
        config["pad_token"] = SPECIALS[pad]
    write_json(folder / "tokenizer_config.json", config)
