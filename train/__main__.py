"""`python -m train`: trains the demo checkpoint, measures it and writes its folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from . import checkpoint
from .demo import metrics_of, write_demo
from .evaluate import measure
from .loop import pick_device
from .pipeline import train
from .scenes import heldout
from .settings import DEMO_DIR, WORK_DIR, Settings, smoke


def main() -> None:
    """Command line of the whole recipe."""
    parser = argparse.ArgumentParser(prog="python -m train", description=__doc__)
    parser.add_argument("--out", type=Path, default=DEMO_DIR, help="checkpoint folder to write")
    parser.add_argument(
        "--work", type=Path, default=WORK_DIR, help="folder for pictures and broken-off runs"
    )
    parser.add_argument("--smoke", action="store_true", help="a few steps only, to try the chain")
    arguments = parser.parse_args()
    settings = smoke() if arguments.smoke else Settings()

    trained = train(settings, arguments.work)
    checkpoint.save(trained.model, trained.tokenizer, settings, arguments.out)
    model, tokenizer = checkpoint.load(arguments.out)
    measured = measure(model.to(pick_device()), tokenizer, heldout())
    metrics = metrics_of(trained, measured, settings)
    write_demo(model, tokenizer, metrics, arguments.out)
    print(f"exact with the adapter: {measured['adapter_on']['exact']:.1%}")
    print(f"exact without:          {measured['adapter_off']['exact']:.1%}")
    print(f"written: {arguments.out}")


if __name__ == "__main__":
    main()
