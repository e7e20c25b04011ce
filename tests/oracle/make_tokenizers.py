"""Makes tests/goldens/tokenizer: three kinds of tokenizer.json and what they do to hard lines."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from common import GOLDENS, folder_bytes, rng_for, versions, write_json
from tiny_tokenizer import CORPUS, merges_as_strings

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

MORE_TEXT = (
    "The quick brown fox can't jump over 12345 lazy dogs; they'll wait until 2026.",
    "Gr\u00fc\u00dfe aus M\u00fcnchen, d\u00e9j\u00e0 vu \u00e0 la carte, na\u00efve fa\u00e7ade",
    "\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440, "
    "\u043a\u0430\u043a \u0434\u0435\u043b\u0430?",
    "\u4f60\u597d\uff0c\u4e16\u754c\u3002\u56fe\u7247\u91cc\u6709\u4e00\u53ea\u732b",
    "def main(args):\n    return [x ** 2 for x in args if x > 0]\n",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
)

LINES = (
    "",
    " ",
    "     ",
    "a",
    " a",
    "a ",
    "  two  spaces  ",
    "a red circle left of a blue square",
    "\ta tab\tand\nnew\r\nlines\n\n\n",
    "\n",
    " \n ",
    "trailing spaces   \n   next",
    "can't CAN'T they'll I'm we've she'd it's 's",
    "1234567890 12 123 1234 3.14159 1,000,000",
    "\u0661\u0662\u0663 \u0967\u0968\u0969 \u00bd \u2167 x\u00b2",
    "caf\u00e9 cafe\u0301 na\u00efve \ufb01ne",
    "Gr\u00fc\u00dfe \u1e9e STRASSE \u0130stanbul \u0131",
    "\u4f60\u597d\u4e16\u754c \u3053\u3093\u306b\u3061\u306f \uc548\ub155",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0643 \u200f123\u200e \u0640\u0640",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05b4\u05d1\u05b0\u05e8\u05b4\u05d9\u05ea",
    "\U0001f600 \U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 "
    "\U0001f3f3\ufe0f\u200d\U0001f308",
    "\U0001f44d\U0001f3fd\U0001f1e9\U0001f1ea\u2764\ufe0f #\ufe0f\u20e3",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35",
    "null\u0000byte bell\u0007 esc\u001b[0m del\u007f",
    "\u00a0nbsp \u2003em \u3000wide \u200bzero \ufeffbom \u2028ls",
    "\ufffd replacement \U0010ffff last",
    "<|endoftext|>a<|im_start|> b <|im_end|><s></s><unk>",
    "<|endoftext|",
    "<0x41> <0x00> \u2581 \u0120 \u010a",
    "\u2581leading metaspace \u2581\u2581 two",
    "snake_case camelCase kebab-case __init__ a/b\\c",
    "!!! ... --- ??? \u2014 \u201cquoted\u201d \u00abguillemets\u00bb",
    "https://example.org/a?b=c&d=%20#frag",
    "e\u0301\u0301\u0301\u0301 Z\u0351\u036b\u0343a\u030al\u0321g\u031bo",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "x" + " " * 20 + "y",
    "\U00010348\U0001d54f\U00020bb7 astral",
)

STREAM_LINES = (7, 16, 17, 20, 21, 22)


def byte_level(pre: Any, specials: list[str], size: int, ignore_merges: bool) -> Tokenizer:
    """Train a byte-level BPE behind the given pre-tokenizer."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=specials,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*CORPUS, *MORE_TEXT], trainer)
    return tokenizer


def llama3() -> Tokenizer:
    """Llama 3: a Split regex before bytes, whole words looked up first, a BOS template."""
    split = pre_tokenizers.Split(Regex(LLAMA3_SPLIT), behavior="isolated", invert=False)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pre = pre_tokenizers.Sequence([split, bytes_])
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = byte_level(pre, specials, 700, ignore_merges=True)
    tokenizer.post_processor = TemplateProcessing(
        single="<|im_start|> $A",
        pair="<|im_start|> $A <|im_start|> $B",
        special_tokens=[("<|im_start|>", 1)],
    )
    return tokenizer


def smollm2() -> Tokenizer:
    """SmolLM2: single digits, then byte-level words."""
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    pre = pre_tokenizers.Sequence([digits, bytes_])
    return byte_level(pre, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], 600, False)


def tinyllama() -> Tokenizer:
    """TinyLlama: spaces become U+2581, no pre-tokenizer, unknown characters fall back to bytes."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="always")
    trainer = trainers.BpeTrainer(vocab_size=420, show_progress=False)
    trained.train_from_iterator([*CORPUS, *MORE_TEXT[:2]], trainer)
    model = json.loads(trained.to_str())["model"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    tokens += sorted(model["vocab"], key=model["vocab"].get)
    tokenizer = Tokenizer(
        models.BPE(
            vocab={token: index for index, token in enumerate(tokens)},
            merges=[tuple(merge) for merge in model["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return tokenizer


KINDS = {"llama3": (llama3, False), "smollm2": (smollm2, True), "tinyllama": (tinyllama, True)}


def encode_case(tokenizer: Tokenizer, text: str) -> dict[str, Any]:
    """Return ids and round trip of one line."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return {
        "text": text,
        "ids": ids,
        "ids_with_special": tokenizer.encode(text, add_special_tokens=True).ids,
        "decoded": tokenizer.decode(ids, skip_special_tokens=True),
        "decoded_with_special": tokenizer.decode(ids, skip_special_tokens=False),
    }


def stream_case(tokenizer: Tokenizer, ids: list[int]) -> dict[str, Any]:
    """Return the decoded text of every prefix, for a streaming decoder to agree with."""
    steps = range(1, len(ids) + 1)
    return {
        "ids": ids,
        "prefixes": [tokenizer.decode(ids[:n], skip_special_tokens=True) for n in steps],
    }


def cases(name: str, tokenizer: Tokenizer) -> dict[str, Any]:
    """Return all tests of one tokenizer; random ids include some that the vocabulary lacks."""
    size = tokenizer.get_vocab_size()
    rng = rng_for("tokenizer", name)
    random_ids = [[int(i) for i in rng.integers(0, size, 12)] for _ in range(12)]
    random_ids += [[5, size, 6, size + 100, 7], [], [0], [2, 2, 2]]
    streams = [tokenizer.encode(LINES[i], add_special_tokens=False).ids for i in STREAM_LINES]
    return {
        "name": name,
        "file": f"{name}.json",
        "vocab_size": size,
        "encode": [encode_case(tokenizer, line) for line in LINES],
        "decode": [
            {
                "ids": ids,
                "text": tokenizer.decode(ids, skip_special_tokens=True),
                "text_with_special": tokenizer.decode(ids, skip_special_tokens=False),
            }
            for ids in random_ids
        ],
        "stream": [stream_case(tokenizer, ids) for ids in [*streams, *random_ids[:4]]],
    }


def main() -> int:
    """Make the folder under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "tokenizer")
    root: Path = parser.parse_args().out
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    rows = []
    for name, (make, strings) in KINDS.items():
        document = json.loads(make().to_str())
        document = merges_as_strings(document) if strings else document
        text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
        (root / f"{name}.json").write_text(text, encoding="utf-8")
        rows.append(cases(name, Tokenizer.from_file(str(root / f"{name}.json"))))
    write_json(
        root / "tests.json",
        {"format": 1, "versions": versions("tokenizers"), "tokenizers": rows},
    )
    print(f"tokenizer: {len(rows)} kinds, {folder_bytes(root)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
