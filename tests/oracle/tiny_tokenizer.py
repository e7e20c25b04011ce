"""The small byte-level BPE tokenizer that every golden checkpoint carries."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import (
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from common import write_json

SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
BERT_SPECIALS = ("[PAD]", "[CLS]", "[UNK]", "[SEP]", "[MASK]")

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


def save_wordpiece(vocab_size: int, folder: Path) -> None:
    """Write a tokenizer of BERT's kind, as BLIP has: lower case, ## pieces, [CLS] and [SEP].

    The vocabulary is listed and not trained, since the trainer's choice among equals is random.
    """
    words = sorted({word for line in CORPUS for word in line.replace(",", " ,").split()})
    letters = sorted({letter for word in words for letter in word})
    pieces = [*letters, *(f"##{letter}" for letter in letters), *(w for w in words if len(w) > 1)]
    spare = [f"##{a}{b}" for a in "aeiou" for b in "nrstl"]
    vocabulary = [*BERT_SPECIALS, *pieces, *spare][:vocab_size]
    if len(vocabulary) != vocab_size:
        raise ValueError(f"made {len(vocabulary)} tokens, wanted {vocab_size}")
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
    )
    document = json.loads(tokenizer.to_str())
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    config = {
        "clean_up_tokenization_spaces": False,
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
        "model_max_length": 512,
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "unk_token": "[UNK]",
    }
    write_json(folder / "tokenizer_config.json", config)
