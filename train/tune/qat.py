"""Training through 4-bit weights: every matrix that `lorapress press --dtype q4` rounds is rounded
here in the same way on the way forward; gradients pass as if it were not (straight through).

Activations stay float32: the runtimes' 8-bit activations (accuracy level 4) are not imitated.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ..errors import TrainError
from .model import PrefixConditioningVLM

BLOCK = 32
LEAST_SCALE = torch.finfo(torch.float32).tiny
ZERO_POINT = 8.0
KINDS = ("q4",)


def rounded(matrix: Tensor) -> Tensor:
    """[outputs, inputs] as q4's blocks of 32 inputs restore it (src/quant/rounding.cc: nearest,
    symmetric): -8 stands for the value of largest magnitude, halves are rounded up.
    """
    outputs, inputs = matrix.shape
    padded = nn.functional.pad(matrix, (0, -inputs % BLOCK))
    blocks = padded.reshape(outputs, -1, BLOCK)
    low, high = blocks.amin(-1, keepdim=True), blocks.amax(-1, keepdim=True)
    scale = -torch.where(high.abs() > low.abs(), high, low) / 8.0
    dead = scale.abs() < LEAST_SCALE
    inverse = torch.where(dead, torch.zeros_like(scale), 1.0 / scale)
    exact = (blocks * inverse + ZERO_POINT).clamp(0.0, 15.0)
    whole = exact.floor()
    whole = whole + (exact - whole >= 0.5)
    restored = (whole - ZERO_POINT) * scale
    return restored.reshape(outputs, -1)[:, :inputs]


def straight_through(matrix: Tensor) -> Tensor:
    """Rounded values, the gradient of the unrounded ones."""
    return matrix + (rounded(matrix.detach()) - matrix).detach()


def is_rounded(outputs: int, inputs: int) -> bool:
    """Whether blocks halve the bytes (src/schemes/nbits_plan.cc)."""
    blocks = -(-inputs // BLOCK)
    return outputs * inputs >= 2 * BLOCK and outputs * blocks * (BLOCK // 2 + 4) * 2 < (
        outputs * inputs * 4
    )


def _once_or_always(weight: Callable[[], Tensor], learns: bool) -> Callable[[], Tensor]:
    """A frozen matrix is rounded once."""
    if learns:
        return lambda: straight_through(weight())
    kept: list[Tensor] = []

    def frozen() -> Tensor:
        if not kept:
            kept.append(rounded(weight().detach()))
        return kept[0]

    return frozen


def _delta(layer: LoraLayer) -> Tensor:
    """What merging adds to [outputs, inputs]."""
    (name,) = layer.active_adapters
    return layer.scaling[name] * (layer.lora_B[name].weight @ layer.lora_A[name].weight)


def _base(layer: nn.Module) -> Tensor:
    return layer.weight.T if isinstance(layer, Conv1D) else layer.weight


def _product(module: nn.Module) -> None:
    """`module` computes x W^T + b with the rounded W, adapter merged."""
    lora = isinstance(module, LoraLayer)
    base = module.get_base_layer() if lora else module
    if not is_rounded(*_base(base).shape):
        return

    def merged() -> Tensor:
        return _base(base) + _delta(module) if lora else _base(base)

    learns = any(p.requires_grad for p in module.parameters())
    matrix = _once_or_always(merged, learns)
    module.forward = lambda x, *_, **__: nn.functional.linear(x, matrix(), base.bias)


def _table(module: nn.Embedding) -> None:
    if not is_rounded(*module.weight.shape) or module.num_embeddings < 2 * module.embedding_dim:
        return
    matrix = _once_or_always(lambda: module.weight, module.weight.requires_grad)
    module.forward = lambda ids: nn.functional.embedding(ids, matrix())


def _patches(module: nn.Conv2d) -> None:
    """The patch convolution, which the graph has as a product of rows [channel, y, x]."""
    shape = module.weight.shape
    if not is_rounded(shape[0], shape[1:].numel()):
        return
    matrix = _once_or_always(lambda: module.weight.flatten(1), module.weight.requires_grad)
    module.forward = lambda x: nn.functional.conv2d(
        x, matrix().view(shape), module.bias, module.stride
    )


def round_weights(model: PrefixConditioningVLM) -> int:
    """Makes a model compute with rounded matrices; returns how many modules do."""
    wrapped = {id(m.get_base_layer()) for m in model.modules() if isinstance(m, LoraLayer)}
    inside = {
        id(inner)
        for m in model.modules()
        if isinstance(m, LoraLayer)
        for inner in (*m.lora_A.values(), *m.lora_B.values())
    }
    text = model.language_model.get_input_embeddings()
    count = 0
    for module in list(model.modules()):
        if id(module) in wrapped or id(module) in inside:
            continue
        if isinstance(module, LoraLayer | nn.Linear | Conv1D):
            _product(module)
        elif module is text:
            _table(module)
        elif isinstance(module, nn.Conv2d):
            _patches(module)
        else:
            continue
        count += "forward" in vars(module)
    return count


def teach(model: PrefixConditioningVLM) -> None:
    """Rounds a model's weights from now on; its own values before teach it (model.py)."""
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    model.learn_from(teacher)
    round_weights(model)


def check_kind(kind: str | None, start: str | None) -> None:
    """QAT is the last stretch of a trained checkpoint."""
    if kind is not None and kind not in KINDS:
        raise TrainError(f"QAT {kind}, expected {' or '.join(KINDS)}")
    if kind is not None and start is None:
        raise TrainError("QAT needs FROM, the trained checkpoint whose weights are rounded")
