"""transformers' Trainer for this model: the trainer's layout, whole checkpoints, captions."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import EarlyStoppingCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from ..data.collect import Picture
from .metrics import score
from .run_folder import checkpoints, publish, remove, staging, write_atomically
from .settings import Settings
from .task import Task

STATE = "trainer_state.json"
KEPT = 2  # checkpoints beside the best one
SHOWN = 100  # validation pictures that are captioned each time
STEP_LINES = 50


def arguments(settings: Settings, run: Path, steps_per_epoch: int) -> TrainingArguments:
    """Trainer's own settings; a GPU is used where there is one."""
    gpu = torch.cuda.is_available()
    every = min(settings.save_steps, steps_per_epoch)
    total = max(1, round(steps_per_epoch * settings.epochs))
    return TrainingArguments(
        output_dir=str(run),
        max_steps=total,
        per_device_train_batch_size=settings.batch,
        per_device_eval_batch_size=settings.batch,
        learning_rate=settings.lora_rate,
        lr_scheduler_type="linear",
        warmup_steps=round(settings.warmup * total),
        weight_decay=0.0,
        bf16=settings.bf16 or (gpu and torch.cuda.is_bf16_supported()),
        use_cpu=not gpu,
        seed=settings.seed,
        data_seed=settings.seed,
        eval_strategy="steps",
        eval_steps=every,
        save_strategy="steps",
        save_steps=every,
        logging_steps=STEP_LINES,
        logging_nan_inf_filter=False,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
        restore_callback_states_from_checkpoint=True,
        remove_unused_columns=False,
        label_names=["labels"],
        prediction_loss_only=True,
        dataloader_pin_memory=gpu,
        disable_tqdm=not sys.stderr.isatty(),
        report_to="none",
    )


class Lines(TrainerCallback):
    """One plain line now and then, for pipes and files."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        shown = [f"{k} {v:.4g}" for k, v in (logs or {}).items() if k in ("loss", "learning_rate")]
        shown += [f"{k} {v:.4f}" for k, v in (logs or {}).items() if _is_quality(k)]
        if shown:
            told = f"step {state.global_step}/{state.max_steps}  {'  '.join(shown)}"
            print(told, file=sys.stderr, flush=True)


def _is_quality(key: str) -> bool:
    timed = key.endswith(("_runtime", "_per_second", "_time"))
    return key.startswith("eval_") and not timed


class CaptionTrainer(Trainer):
    """What is special: parameter groups, atomic checkpoints, captions of validation pictures."""

    def __init__(
        self,
        task: Task,
        settings: Settings,
        run: Path,
        train: Dataset,
        validation: list[Picture],
    ) -> None:
        self.task, self.settings, self.run_folder = task, settings, run
        self.shown = validation[:SHOWN]
        self.saving_in: Path | None = None
        self.pool = ThreadPoolExecutor(
            settings.shares, initializer=torch.set_num_threads, initargs=(1,)
        )
        steps = -(-len(train) // settings.batch)
        super().__init__(
            model=task.model,
            args=arguments(settings, run, steps),
            data_collator=task.collate,
            train_dataset=train,
            eval_dataset=task.rows(validation),
            callbacks=[EarlyStoppingCallback(settings.patience)],
        )
        self.remove_callback(PrinterCallback)
        if not any(isinstance(c, ProgressCallback) for c in self.callback_handler.callbacks):
            self.add_callback(Lines())

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """A rate for each part, as the trainer has them."""
        if self.optimizer is not None:
            return self.optimizer
        rates: dict[float, list[torch.nn.Parameter]] = {}
        for name, parameter in self.model.named_parameters():
            if not parameter.requires_grad:
                continue
            rate = self.task.rate(name)
            rates.setdefault(rate, []).append(parameter)
        groups = [{"params": found, "lr": rate} for rate, found in rates.items()]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
        return self.optimizer

    def training_step(self, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Tensor:
        """With several shares the gradient is the mean of theirs. Matrices of small models gain
        little from threads inside an operator; shares beside each other use whole cores.
        """
        count = self.settings.shares
        if count == 1:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        learning = [p for p in model.parameters() if p.requires_grad]

        def gradients(at: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
            loss = model(**{key: value[at::count] for key, value in inputs.items()})["loss"]
            return loss.detach(), torch.autograd.grad(loss, learning, allow_unused=True)

        made = list(self.pool.map(gradients, range(min(count, len(inputs["labels"])))))
        for parameter, *found in zip(learning, *(grads for _, grads in made), strict=True):
            if found[0] is not None:
                parameter.grad = torch.stack(found).mean(0)
        return torch.stack([loss for loss, _ in made]).mean()

    def _get_output_dir(self, trial: Any) -> str:
        return str(self.saving_in or self.run_folder)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.task.save(folder)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Trainer's own, in a hidden folder that takes its name when it is whole."""
        name = f"checkpoint-{self.state.global_step}"
        target = self.run_folder / name
        self.saving_in = staging(target)
        try:
            super()._save_checkpoint(model, trial)
        finally:
            part, self.saving_in = self.saving_in, None
        best = self.run_folder / f"checkpoint-{self.state.best_global_step}"
        known = best.exists() or best == target
        self.state.best_model_checkpoint = str(best) if known else None
        self.state.save_to_json(str(part / name / STATE))
        publish(part / name, target)
        part.rmdir()
        kept = [c for c in checkpoints(self.run_folder) if c != best]
        for old in kept[:-KEPT]:
            remove(old)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        self.task.load(Path(resume_from_checkpoint))

    def _load_best_model(self) -> None:
        self.task.load(Path(self.state.best_model_checkpoint))

    def evaluate(self, *args: Any, **options: Any) -> dict[str, float]:
        """The loss, then captions of some pictures, kept in the run's folder and measured."""
        found = super().evaluate(*args, **options)
        said = self.caption(self.shown)
        self._keep(said)
        measured = score(said, {p.name: list(p.captions) for p in self.shown})
        exact = sum(said[p.name] in p.captions for p in self.shown) / len(self.shown)
        self.log({f"eval_{key}": value for key, value in {"exact": exact, **measured}.items()})
        return found

    def caption(self, pictures: list[Picture]) -> dict[str, str]:
        """Greedy captions by picture."""
        self.model.eval()
        said: dict[str, str] = {}
        for start in range(0, len(pictures), self.settings.batch):
            chosen = pictures[start : start + self.settings.batch]
            texts = self.task.captions(chosen, self.args.device)
            said.update(zip((p.name for p in chosen), (t.strip() for t in texts), strict=True))
        return said

    def _keep(self, said: dict[str, str]) -> None:
        folder = self.run_folder / "captions"
        folder.mkdir(exist_ok=True)
        lines = [
            json.dumps(
                {"image": p.name, "caption": said[p.name], "references": list(p.captions)},
                ensure_ascii=False,
            )
            for p in self.shown
        ]
        write_atomically(folder / f"{self.state.global_step}.jsonl", "\n".join(lines) + "\n")
