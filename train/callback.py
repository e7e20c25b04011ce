"""PressCallback of the Python package: presses every checkpoint of transformers' Trainer."""

import sys
from pathlib import Path

sys.path.append(
    str(Path(__file__).resolve().parents[1] / "python")
)  # where the package is not installed

from lorapress.transformers import PressCallback

__all__ = ["PressCallback"]
