"""python -m lorapress.ray IMAGES... OUT.parquet --model MODEL_DIR."""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import os
import sys
from typing import Any

from .._errors import LorapressError, invalid_argument
from ._job import caption_files
from ._log import Row


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m lorapress.ray",
        description="Caption many images on a Ray cluster into one parquet file. The same command goes on where an "
        "interrupted one ended.",
        epilog="Exit codes: 0 all captioned, 1 some images could not be, 2 bad arguments or a bad model.",
    )
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGES",
        help="folders, files, globs, .parquet and webdataset .tar files",
    )
    parser.add_argument("out", metavar="OUT.parquet", help="columns image, caption, error_code, error")
    parser.add_argument("--model", required=True, metavar="MODEL_DIR", help="folder that press wrote")
    parser.add_argument("--workers", type=int, metavar="N", help="processes (as many as there are cores for)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of each worker (1)")
    parser.add_argument("--batch", type=int, default=8, metavar="N", help="images decoded together (8)")
    parser.add_argument("--column", default="image", help="images in .parquet files (image)")
    parser.add_argument("--dtype", help="which of the folder's dtypes")
    parser.add_argument("--engine", choices=["ort", "native", "auto"])
    parser.add_argument("--retry", action="store_true", help="try images again that failed in an earlier run")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help='a generation setting, as num_beams=3 or prompt="a photo of"; may be given several times',
    )
    return parser.parse_args()


def _settings(entries: list[str]) -> dict[str, Any]:
    settings = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        if not equals:
            raise invalid_argument(f"--set {entry}, expected KEY=VALUE")
        if key in inspect.signature(caption_files).parameters:
            raise invalid_argument(f"--set {key}: is no setting of generation (docs/generation.md)")
        try:
            settings[key] = json.loads(value)
        except ValueError:
            settings[key] = value  # text may go without quotes
    return settings


def _tell(row: Row) -> None:
    if row.error is not None:
        print(f"lorapress: {row.image}: {row.error}", file=sys.stderr, flush=True)


def main() -> int:
    """Return the exit code."""
    given = _arguments()
    logging.getLogger("ray").setLevel(logging.ERROR)
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")  # of further workers that cannot load the model
    try:
        summary = caption_files(
            given.images,
            given.out,
            model=given.model,
            workers=given.workers,
            threads=given.threads,
            batch_size=given.batch,
            column=given.column,
            dtype=given.dtype,
            engine=given.engine,
            retry=given.retry,
            report=_tell,
            **_settings(given.set),
        )
    except LorapressError as error:
        print(f"lorapress: {error}", file=sys.stderr)
        return 2
    except ImportError as error:
        print(f"lorapress: {error}; pip install 'lorapress[ray]'", file=sys.stderr)
        return 2
    print(f"{summary.images} images, {summary.captioned} by this run, {summary.failed} failed: {summary.out}")
    return int(summary.failed > 0)


if __name__ == "__main__":
    sys.exit(main())
