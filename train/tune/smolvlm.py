"""LoRA on a whole model whose prompt has the image's places: SmolVLM, SmolVLM2 and Idefics3.

A row is the chat template with the picture and the prompt, and behind it the caption, up to the
token that ends an answer; the loss is that of the answer alone. Rows are filled up on the left, as
transformers' generate() wants them, so answers end together and only their logits are computed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model, set_peft_model_state_dict
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, Idefics3Processor
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

from ..data.collect import Picture
from ..data.rows import fields, read_json
from ..errors import TrainError
from .model import IGNORED
from .parts import folder_of, load_tokenizer
from .settings import Settings
from .task import Kept, Rows

IMAGE_PROCESSORS = {"smolvlm": SmolVLMImageProcessorPil, "idefics3": Idefics3ImageProcessorPil}
PROMPT_FILE = "prompt.txt"
WEIGHTS = "adapter_model.safetensors"
CONNECTOR = "connector"
DECODER_LAYERS = r".*\.text_model\..*\.(q_proj|k_proj|v_proj|o_proj)"
CONNECTOR_LAYER = r".*\.connector\.modality_projection\.proj"
PICTURE = ("pixel_values", "pixel_attention_mask")
TEMPLATE_FILES = ("chat_template.jinja", "chat_template.json", "tokenizer_config.json")


class Answering(nn.Module):
    """A PEFT model; the mean cross entropy of the answers."""

    def __init__(self, peft: PeftModel) -> None:
        super().__init__()
        self.peft = peft

    def forward(self, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """`labels` [batch, longest answer] belong to the last positions of `input_ids`."""
        width = labels.shape[1]
        logits = self.peft(**inputs, use_cache=False, logits_to_keep=width + 1).logits[:, :-1]
        loss = nn.functional.cross_entropy(
            logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED
        )
        return {"loss": loss}


class SmolvlmTask:
    """The base and its processor; a checkpoint is a PEFT folder with the prompt beside it."""

    def __init__(self, settings: Settings, attention: str) -> None:
        self.settings, self.cut = settings, 0
        base = folder_of(settings.model, "MODEL")
        path = base / "config.json"
        (kind,) = fields(read_json(path), ("model_type",), str(path))
        if kind not in IMAGE_PROCESSORS:
            known = " or ".join(IMAGE_PROCESSORS)
            raise TrainError(f"{path}: model_type {kind}, expected {known}")
        self.processor = _processor(base, kind)
        whole = AutoModelForImageTextToText.from_pretrained(
            base, dtype=torch.float32, attn_implementation=attention
        )
        self.ends = _ends(whole)
        self.room = whole.config.text_config.max_position_embeddings
        self.prompt, self.lead, self.end = self._template()
        layers = [DECODER_LAYERS] + [CONNECTOR_LAYER] * (settings.projection == "lora")
        lora = LoraConfig(
            r=settings.lora_rank,
            lora_alpha=settings.lora_alpha,
            lora_dropout=settings.lora_dropout,
            target_modules="|".join(layers),
        )
        peft = get_peft_model(whole, lora)
        name = str(base.resolve()) if Path(settings.model).is_dir() else settings.model
        peft.peft_config["default"].base_model_name_or_path = name
        self.model = Answering(peft)
        self.pictures = Kept(self._inputs)

    def _template(self) -> tuple[str, str, list[int]]:
        """The rendered prompt, what stands before a caption, and the tokens that end one."""
        ask = {"type": "text", "text": self.settings.prompt}
        messages = [{"role": "user", "content": [{"type": "image"}, ask]}]
        prompt = self.processor.apply_chat_template(messages, add_generation_prompt=True)
        marked = "CAPTION"
        answer = {"role": "assistant", "content": [{"type": "text", "text": marked}]}
        whole = self.processor.apply_chat_template([*messages, answer])
        lead, found, suffix = whole.removeprefix(prompt).partition(marked)
        if not whole.startswith(prompt) or not found or prompt.count("<image>") != 1:
            raise TrainError(
                f"MODEL {self.settings.model}: its chat template does not put an answer behind the "
                "prompt, or the image into it"
            )
        ids = self.processor.tokenizer(suffix, add_special_tokens=False)["input_ids"]
        stop = next((i for i, token in enumerate(ids) if token in self.ends), None)
        return prompt, lead, [self.ends[0]] if stop is None else ids[: stop + 1]

    def _inputs(self, picture: Picture) -> tuple[dict[str, Tensor], int]:
        """The prompt's ids with the picture's places, and its tiles."""
        made = self.processor(images=[[picture.image()]], text=[self.prompt], return_tensors="pt")
        found = {key: made[key][0] for key in ("input_ids", *PICTURE) if key in made}
        length = len(found["input_ids"]) + self.settings.max_length
        if length > self.room:
            raise TrainError(
                f"{picture.name}: {length} tokens with MAX_LENGTH, the decoder has "
                f"{self.room} positions"
            )
        return found, sum(t.nbytes for t in found.values())

    def _answers(self, captions: list[str]) -> list[list[int]]:
        most = max(1, self.settings.max_length - len(self.end))
        texts = [self.lead + caption for caption in captions]
        ids = self.processor.tokenizer(texts, add_special_tokens=False)["input_ids"]
        self.cut += sum(len(row) > most for row in ids)
        return [[*row[:most], *self.end] for row in ids]

    def rows(self, pictures: list[Picture]) -> Rows:
        """A processed picture and the ids of an answer."""
        return Rows(pictures, self._answers, lambda picture, ids: (self.pictures.of(picture), ids))

    def collate(self, rows: list[Any]) -> dict[str, Tensor]:
        """Filled up on the left; missing tiles are zeros, which the model leaves out."""
        longest = max(len(found["input_ids"]) + len(ids) for found, ids in rows)
        width = max(len(ids) for _, ids in rows)
        tiles = max(len(found["pixel_values"]) for found, _ in rows)
        pad = self.processor.tokenizer.pad_token_id or 0
        made: dict[str, list[Tensor]] = {}
        for found, answer in rows:
            ids = torch.cat([found["input_ids"], torch.tensor(answer, dtype=torch.long)])
            left = longest - len(ids)
            labels = [IGNORED] * (width - len(answer)) + answer
            row = {
                "input_ids": nn.functional.pad(ids, (left, 0), value=pad),
                "attention_mask": nn.functional.pad(torch.ones_like(ids), (left, 0)),
                "labels": torch.tensor(labels, dtype=torch.long),
            }
            for key in found.keys() & set(PICTURE):
                empty = found[key].new_zeros((tiles - len(found[key]), *found[key].shape[1:]))
                row[key] = torch.cat([found[key], empty])
            for key, value in row.items():
                made.setdefault(key, []).append(value)
        return {key: torch.stack(values) for key, values in made.items()}

    @torch.no_grad()
    def captions(self, pictures: list[Picture], device: torch.device) -> list[str]:
        """By transformers' own generate()."""
        batch = self.collate([(self.pictures.of(p), []) for p in pictures])
        batch.pop("labels")
        length = batch["input_ids"].shape[1]
        tokens = self.model.peft.generate(
            **{key: value.to(device) for key, value in batch.items()},
            max_new_tokens=self.settings.max_length,
            do_sample=False,
            num_beams=1,
        )
        return self.processor.tokenizer.batch_decode(tokens[:, length:], skip_special_tokens=True)

    def rate(self, name: str) -> float:
        """The trainer's rates for adapter and projection."""
        settings = self.settings
        return settings.projection_rate if f".{CONNECTOR}." in name else settings.lora_rate

    def save(self, folder: Path) -> None:
        """A PEFT folder."""
        self.model.peft.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)
        (folder / WEIGHTS).chmod(0o644)
        (folder / PROMPT_FILE).write_text(self.settings.prompt + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """A PEFT folder of the same layers."""
        set_peft_model_state_dict(self.model.peft, load_file(folder / WEIGHTS))


def _ends(model: nn.Module) -> list[int]:
    """The tokens at which generate() ends."""
    ends = model.generation_config.eos_token_id
    if ends is None:
        ends = model.config.text_config.eos_token_id
    if ends is None:
        raise TrainError("MODEL: no eos_token_id in generation_config.json or config.json")
    return ends if isinstance(ends, list) else [ends]


def _processor(base: Path, kind: str) -> Idefics3Processor:
    """SmolVLM's own class needs num2words, for videos; of pictures both make the same."""
    tokenizer = load_tokenizer(base)
    template = tokenizer.chat_template
    for name in ("chat_template.jinja", "chat_template.json"):
        path = base / name
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            template = text if path.suffix == ".jinja" else read_json(path)["chat_template"]
            break
    if template is None:
        raise TrainError(f"{base}: no chat template, looked in {', '.join(TEMPLATE_FILES)}")
    path = base / "processor_config.json"
    length = read_json(path).get("image_seq_len") if path.is_file() else None
    images = IMAGE_PROCESSORS[kind].from_pretrained(base)
    return Idefics3Processor(images, tokenizer, length or 169, chat_template=template)


def build(settings: Settings, attention: str) -> SmolvlmTask:
    """Refuses what is of the other kind of model."""
    for name in ("encoder", "decoder", "start", "qat", "unfreeze"):
        if getattr(settings, name):
            told = {"start": "FROM"}.get(name, name.upper())
            raise TrainError(f"{told} does not go with MODEL, which has all its parts")
    if settings.projection == "mlp":
        raise TrainError("PROJECTION mlp does not go with MODEL, which has its own; lora trains it")
    if not settings.prompt.strip():
        raise TrainError("PROMPT is empty, expected what the picture is asked")
    return SmolvlmTask(settings, attention)
