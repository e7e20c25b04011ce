"""What a run is made with. `run.json` keeps it, so that a run goes on only as it began."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import TrainError
from .run_folder import checkpoints, write_atomically

FILE = "run.json"


@dataclass(frozen=True)
class Settings:
    """The variables of `make train`; rates, rank and dropout are the trainer's."""

    dataset: str
    epochs: float = 5
    encoder: str | None = None
    decoder: str | None = None
    start: str | None = None
    model: str | None = None
    prompt: str = "Describe the image."  # what MODEL is asked
    format: str | None = None
    sample: int | None = None
    max_length: int = 30
    projection: str = "linear"
    unfreeze: int = 0
    batch: int = 32
    seed: int = 42
    lora_rank: int = 16
    lora_alpha: int = 16
    lora_dropout: float = 0.1
    lora_rate: float = 1e-4
    projection_rate: float = 3e-4
    fresh_rate: float = 1e-3
    vision_factor: float = 0.1  # of lora_rate, for unfrozen layers of the encoder
    warmup: float = 0.05
    patience: int = 3  # validations without a better loss before training ends
    save_steps: int = 500  # or an epoch, whichever is shorter
    qat: str | None = None
    adapter: str = "keep"  # of FROM; "new": merged, and a new one begins
    bf16: bool = False  # on CPUs; GPUs that have it use it by themselves
    shares: int = 1  # of a batch, each with a thread


def remember(settings: Settings, pictures: str, folder: Path) -> None:
    """Keeps the settings in the run's folder, or holds this start to those of the first that came
    as far as a checkpoint.
    """
    path = folder / FILE
    now = json.loads(json.dumps({**asdict(settings), "pictures": pictures}))
    if not path.exists() or not (checkpoints(folder) or (folder / "best").exists()):
        write_atomically(path, json.dumps(now, indent=2) + "\n")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TrainError(f"{path}: {error}") from None
    for key in [*(f.name for f in fields(Settings)), "pictures"]:
        if before.get(key) != now[key]:
            if key == "pictures":
                raise TrainError(
                    f"{path}: this run began with other pictures or captions; pass another OUT"
                )
            raise TrainError(
                f"{path}: this run began with {key} {before.get(key)}, now it is {now[key]}; "
                "pass the same, or another OUT"
            )
