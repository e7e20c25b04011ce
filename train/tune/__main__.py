"""`python -m train.tune`: trains a captioner on pictures with captions (`make train`)."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import warnings
from dataclasses import fields
from pathlib import Path

from ..errors import TrainError
from .settings import Settings

BAD_INPUT = 2


def _whole(least: int):
    def number(text: str) -> int:
        value = int(text)
        if value < least:
            raise argparse.ArgumentTypeError(f"{text}, expected {least} or more")
        return value

    return number


def _positive(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}, expected a number above 0")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text}, expected 0 or more and less than 1")
    return value


class OneLine(argparse.ArgumentParser):
    """Errors as the program's: one line, exit code 2."""

    def error(self, message: str) -> None:
        raise TrainError(f"{message}; see python -m train.tune --help")


def parser() -> argparse.ArgumentParser:
    """The options; their defaults are those of `Settings`."""
    made = OneLine(prog="python -m train.tune", description=__doc__)
    usual = Settings(dataset="")
    add = made.add_argument
    add("--dataset", required=True, metavar="DIR", help="a folder of pictures, or shapes")
    add("--out", type=Path, metavar="DIR", help="folder of the run (runs/NAME of the data set)")
    add("--format", metavar="NAME", help="of the captions, where the folder has several")
    add("--encoder", metavar="DIR", help="folder, or ORG/NAME for the hub's client")
    add("--decoder", metavar="DIR", help="folder, or ORG/NAME for the hub's client")
    add("--from", dest="start", metavar="DIR", help="checkpoint to go on from, with its adapter")
    add("--model", metavar="DIR", help="SmolVLM or Idefics3 to adapt, in place of both")
    add("--prompt", default=usual.prompt, metavar="TEXT", help="what --model is asked")
    add("--qat", metavar="q4", help="with --from: train through weights rounded to 4 bit")
    add("--epochs", type=_positive, default=usual.epochs)
    add("--sample", type=_whole(1), metavar="N", help="so many pictures only")
    add("--max-length", type=_whole(2), default=usual.max_length, help="tokens of a caption")
    add("--projection", choices=("linear", "mlp", "lora"), default=usual.projection)
    add("--unfreeze", type=_whole(0), default=usual.unfreeze, help="last layers of the encoder")
    add("--batch", type=_whole(1), default=usual.batch)
    add("--seed", type=_whole(0), default=usual.seed)
    add("--lora-rank", type=_whole(1), default=usual.lora_rank)
    add("--lora-alpha", type=_whole(1), default=usual.lora_alpha)
    add("--lora-rate", type=_positive, default=usual.lora_rate)
    add("--projection-rate", type=_positive, default=usual.projection_rate)
    add("--lora-dropout", type=_share, default=usual.lora_dropout)
    add("--fresh-rate", type=_positive, default=usual.fresh_rate, help="of new parts")
    add("--adapter", choices=("keep", "new"), default=usual.adapter, help="with --from")
    add("--bf16", action="store_true", help="forward and backward in bfloat16 on CPUs, too")
    add(
        "--shares", type=_whole(1), default=usual.shares, help="threads, each for a part of a batch"
    )
    add("--patience", type=_whole(1), default=usual.patience, help="validations without a gain")
    add("--save-steps", type=_whole(1), default=usual.save_steps)
    return made


def main(given: list[str] | None = None) -> int:
    """The exit code."""
    try:
        options = vars(parser().parse_args(given))
        run = options.pop("out")
        names = {field.name for field in fields(Settings)}
        settings = Settings(**{key: value for key, value in options.items() if key in names})
        run = run or Path("runs") / Path(settings.dataset).resolve().name
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        warnings.filterwarnings("ignore")
        from . import run as work  # torch takes seconds: not for --help, not for a wrong option

        logging.getLogger("transformers").setLevel(logging.ERROR)
        work.make_deterministic()
        report = work.train(settings, run)
        print(json.dumps({"run": str(run), "best": str(run / work.BEST), **report}))
        return 0
    except TrainError as error:
        print(f"train: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("train: interrupted; the same command goes on", file=sys.stderr)
        return 130
    except OSError as error:
        print(f"train: {error}", file=sys.stderr)
        return BAD_INPUT


if __name__ == "__main__":
    sys.exit(main())
