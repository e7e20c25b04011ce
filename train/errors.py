"""The one exception of the training step: bad input, told in one line, exit code 2."""

from __future__ import annotations


class TrainError(Exception):
    """What is wrong, where, expected against found, what to do."""
