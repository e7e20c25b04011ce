"""A byte-level BPE tokenizer learned from the captions, saved the way the trainer saves one."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

END = "<|endoftext|>"
VOCABULARY = 512
CLASS_NAME = "PreTrainedTokenizerFast"


def learn(captions: Iterable[str]) -> PreTrainedTokenizerFast:
    """Learns merges until a frequent word is one token; `END` (id 0) begins, ends and pads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[END],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token=END, eos_token=END, pad_token=END, unk_token=END
    )


def save(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Saves the tokenizer so that readers of every age understand it.

    Merges become "a b" strings and the class gets the name that predates transformers 5.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    body_path = folder / "tokenizer.json"
    body = json.loads(body_path.read_text(encoding="utf-8"))
    merges = body["model"]["merges"]
    body["model"]["merges"] = [m if isinstance(m, str) else " ".join(m) for m in merges]
    _write(body_path, body)
    config = {
        "tokenizer_class": CLASS_NAME,
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "clean_up_tokenization_spaces": False,
        "model_max_length": 512,
        "added_tokens_decoder": {
            "0": {
                "content": END,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
        },
    }
    _write(folder / "tokenizer_config.json", config)
    names = ("bos_token", "eos_token", "pad_token", "unk_token")
    _write(folder / "special_tokens_map.json", dict.fromkeys(names, END))


def load(folder: Path) -> PreTrainedTokenizerFast:
    """Reads a saved tokenizer."""
    return PreTrainedTokenizerFast.from_pretrained(folder)


def encode(tokenizer: PreTrainedTokenizerFast, captions: list[str]) -> list[list[int]]:
    """Token ids of captions, each ended by `END`."""
    end = tokenizer.eos_token_id
    return [[*ids, end] for ids in tokenizer(captions)["input_ids"]]


def _write(path: Path, value: object) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=2)
    path.write_text(text + "\n", encoding="utf-8")
