"""Places of the project, and the seeds of drawn scenes."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DEMO_DIR = ROOT / "models" / "demo"

# The ranges never meet.
TRAIN_SEED = 0
HELDOUT_SEED = 10_000_000
HELDOUT_COUNT = 500
