"""Every number of the recipe, in one place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORK_DIR = ROOT / "train" / ".work"
DEMO_DIR = ROOT / "models" / "demo"

# Seeds of the scenes. The three ranges never meet.
TRAIN_SEED = 0
HELDOUT_SEED = 10_000_000
CHECK_SEED = 20_000_000

HELDOUT_COUNT = 500
MAX_NEW_TOKENS = 30


@dataclass(frozen=True)
class Stage:
    """One run of the optimizer: warm up, hold the rate, let it fall to zero over the last steps."""

    steps: int
    learning_rate: float
    warmup: int
    weight_decay: float
    falling: float = 0.4


@dataclass(frozen=True)
class Settings:
    """A whole training, from scenes to checkpoint."""

    seed: int = 17
    scenes: int = 120_000
    batch: int = 32
    zero_prefix_rows: int = 2
    lora_rank: int = 16
    lora_alpha: int = 32
    parts: int = 2
    pretrain: Stage = Stage(steps=5_400, learning_rate=1e-3, warmup=200, weight_decay=0.05)
    finetune: Stage = Stage(steps=2_800, learning_rate=2e-3, warmup=100, weight_decay=0.0)


def smoke() -> Settings:
    """A chain of a minute that proves that every step works, not that it learns."""
    return Settings(
        scenes=2_000,
        pretrain=Stage(steps=30, learning_rate=1e-3, warmup=5, weight_decay=0.05),
        finetune=Stage(steps=10, learning_rate=2e-3, warmup=2, weight_decay=0.0),
    )
