"""The commands press, export, merge, quantize, verify and inspect, under the names of the command line."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, Union

from ._errors import invalid_argument
from ._library import call, path_bytes, to_json_value
from ._progress import ProgressOption, run
from ._reports import (
    MergeReport,
    PressReport,
    QuantizeReport,
    VerifyReport,
    build,
)

Path = Union[str, "os.PathLike[str]"]
# A PEFT folder, or one with its weight.
Adapter = Union[Path, "tuple[Path, float]"]
Many = Union[Path, Sequence[Path], None]


def _adapters(adapter: Adapter | Sequence[Adapter] | None) -> list[Any] | None:
    """A pair of a path and a number is one adapter; any other sequence is a list of them."""
    if adapter is None:
        return None

    def is_pair(value: Any) -> bool:
        return isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], Real)

    several = isinstance(adapter, Iterable) and not isinstance(adapter, (str, bytes)) and not is_pair(adapter)
    listed: Any = adapter if several else [adapter]  # the library says what is no adapter
    return [{"folder": one[0], "weight": one[1]} if is_pair(one) else one for one in listed]


def _entries(settings: Mapping[str, Any] | Sequence[str] | None) -> list[str] | None:
    """Settings as the KEY=VALUE of --set; a text is one of these."""
    if settings is None:
        return None
    if isinstance(settings, Mapping):
        return [f"{key}={to_json_value(f'set: {key}', value)}" for key, value in settings.items()]
    if not isinstance(settings, Iterable):
        raise invalid_argument(f'set {settings!r}, expected a dict, or texts as "num_beams=3"')
    return [settings] if isinstance(settings, str) else list(settings)


def _press(function: str, options: dict[str, Any]) -> PressReport:
    progress = options.pop("progress")
    options["adapter"] = _adapters(options["adapter"])
    options["set"] = _entries(options["set"])
    return build(PressReport, run(function, options, progress))


def press(
    checkpoint: Path,
    out: Path,
    *,
    adapter: Adapter | Sequence[Adapter] | None = None,
    base: Many = None,
    bundle: str | None = None,
    dtype: str | Sequence[str] | None = None,
    ops: str | None = None,
    opset: int | None = None,
    max_new_tokens: int | None = None,
    set: Mapping[str, Any] | Sequence[str] | None = None,
    bad_words: Path | None = None,
    prompt: str | None = None,
    num_beams: int | None = None,
    rules_in_graph: bool | None = None,
    trainer_names: bool = False,
    uint8_input: bool = False,
    step: bool = False,
    model_id: str | None = None,
    revision: str | None = None,
    external_data: bool = False,
    block_size: int | None = None,
    accuracy_level: int | None = None,
    per_tensor: bool = False,
    asymmetric: bool = False,
    rounding: str | None = None,
    calibrate: Path | None = None,
    exclude: str | Sequence[str] | None = None,
    force: bool = False,
    engine: str | None = None,
    threads: int | None = None,
    progress: ProgressOption = None,
) -> PressReport:
    """Make a checkpoint into a folder that a browser runs, check it and caption one image with it.

    `out` appears whole or not at all. What is not given is the command line's default (`lorapress press --help`
    explains each option).

    Args:
        checkpoint: folder with config.json and model.safetensors (or shards), or "hf:ORG/NAME[@REVISION]" of a model
            hub; so may `adapter` and `base` be.
        out: folder to write; must not exist unless `force`, which replaces one that LoraPress wrote.
        adapter: PEFT folder to merge, (folder, weight), or a list of these.
        base: folder, or folders, with what the checkpoint leaves out.
        bundle: layout of the folder, as "transformers.js" (docs/bundles.md).
        dtype: dtypes to write, as "q4,fp32" or a list; the first is the folder's default.
        ops: "ort" (ONNX Runtime's fused operators) or "standard".
        opset: ONNX opset, 17 to 23.
        max_new_tokens: tokens of a caption, written as the folder's default.
        set: generation settings in place of the checkpoint's own: {"repetition_penalty": 1.2}.
        bad_words: text file of words, one a line, that captions must not hold.
        prompt: written as the folder's default.
        num_beams: bundle "single": beams inside the graph.
        rules_in_graph: whether the decoder applies generation rules to its own logits.
        trainer_names: bundle "components": ports of the trainer's own export.
        uint8_input: bundle "single": raw RGB bytes [height, width, 3] of any size in.
        step: bundle "single": pixel_values, input_ids -> logits in place of the whole loop.
        model_id: bundle "firefox": ORG/NAME; `revision` is the folder below it.
        external_data: weights in files beside the graphs.
        block_size, accuracy_level, per_tensor, asymmetric, rounding, exclude: how dtypes round
            (docs/quantization.md).
        calibrate: folder of images to run through the model, so that rounding keeps what its layers read.
        engine: what runs the result once, and calibration: "native", "ort" or "auto".
        threads: for writing; one per core, at most 4, unless given.
        progress: True for a tqdm bar, or a function(phase, done, total) that is called from a thread of the library,
            with bytes for the phase "write", else steps. What it raises cancels the work and comes out of this call.

    Raises:
        LorapressError: one line, and its code.
    """
    return _press("lorapress_press", locals())


def export(
    checkpoint: Path,
    out: Path,
    *,
    adapter: Adapter | Sequence[Adapter] | None = None,
    base: Many = None,
    bundle: str | None = None,
    dtype: str | Sequence[str] | None = None,
    ops: str | None = None,
    opset: int | None = None,
    max_new_tokens: int | None = None,
    set: Mapping[str, Any] | Sequence[str] | None = None,
    bad_words: Path | None = None,
    prompt: str | None = None,
    num_beams: int | None = None,
    rules_in_graph: bool | None = None,
    trainer_names: bool = False,
    uint8_input: bool = False,
    step: bool = False,
    model_id: str | None = None,
    revision: str | None = None,
    external_data: bool = False,
    block_size: int | None = None,
    accuracy_level: int | None = None,
    per_tensor: bool = False,
    asymmetric: bool = False,
    rounding: str | None = None,
    calibrate: Path | None = None,
    exclude: str | Sequence[str] | None = None,
    force: bool = False,
    engine: str | None = None,
    threads: int | None = None,
    progress: ProgressOption = None,
) -> PressReport:
    """Do as `press`, with the same options, without running the result."""
    return _press("lorapress_export", locals())


def merge(
    checkpoint: Path,
    out: Path,
    *,
    adapter: Adapter | Sequence[Adapter] | None = None,
    base: Many = None,
    dtype: str | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: ProgressOption = None,
) -> MergeReport:
    """Merge adapters into a checkpoint that transformers loads, as PEFT's merge_and_unload() does.

    Args:
        checkpoint: folder with config.json and model.safetensors (or shards).
        out: folder to write; must not exist unless `force`.
        adapter: PEFT folder to merge, (folder, weight), or a list of these.
        base: folder, or folders, with what the checkpoint leaves out.
        dtype: "keep" (the default), "fp32", "fp16" or "bf16"; computed in float32, rounded once.
        force: replace `out` where it is a folder that LoraPress wrote.
        threads: for writing; one per core, at most 4, unless given.
        progress: as of `press`.
    """
    options = locals()
    options.pop("progress")
    options["adapter"] = _adapters(adapter)
    report = run("lorapress_merge", options, progress)
    return build(MergeReport, {"out": os.fspath(out), **report})


def quantize(
    model: Path,
    out: Path,
    *,
    dtype: str,
    block_size: int | None = None,
    accuracy_level: int | None = None,
    per_tensor: bool = False,
    asymmetric: bool = False,
    rounding: str | None = None,
    calibrate: Path | None = None,
    exclude: str | Sequence[str] | None = None,
    external_data: bool = False,
    freeze_inputs: bool = False,
    allow_unquantized: bool = False,
    force: bool = False,
    threads: int | None = None,
    progress: ProgressOption = None,
) -> QuantizeReport:
    """Write any .onnx file with smaller weights, as one dtype (docs/quantization.md).

    Args:
        model: .onnx file; external data is read beside it.
        out: .onnx file to write; must not exist unless `force`.
        dtype: "fp16", "q8", "int8", "uint8", "q4", "q4f16" or "bnb4".
        block_size: 4 bit: inputs that share a scale; 16, 32, 64, 128 or 256.
        accuracy_level: q4, q4f16: 4 lets the runtime compute with 8-bit activations, 0 does not.
        per_tensor: 8 bit: one scale for a whole matrix.
        asymmetric: q4, q4f16: zero points beside the scales.
        rounding: 4 bit: "nearest", or "search" for scales of least squared error.
        calibrate: folder of images to run through the model.
        exclude: node or weight, or a list of them, that stays as it is.
        external_data: weights in OUT_data beside the graph.
        freeze_inputs: initializers that are inputs, too, become constants.
        allow_unquantized: write `out` even if the dtype changes nothing in it.
        force: replace files that are there.
        threads: for writing; one per core, at most 4, unless given.
        progress: as of `press`.
    """
    options = locals()
    options.pop("progress")
    options["in"] = options.pop("model")
    report = run("lorapress_quantize", options, progress)
    return build(QuantizeReport, {"out": os.fspath(out), "dtype": dtype, **report})


def verify(
    checkpoint: Path,
    model_dir: Path,
    *,
    adapter: Adapter | Sequence[Adapter] | None = None,
    base: Many = None,
    images: Path | None = None,
    prompts: Path | None = None,
    references: Path | None = None,
    split: str | None = None,
    dtype: str | Sequence[str] | None = None,
    max_new_tokens: int | None = None,
    min_match: float | None = None,
    engine: str | None = None,
    html: Path | None = None,
    trace: Path | None = None,
    trace_model_id: str | None = None,
    trace_revision: str | None = None,
    force: bool = False,
    threads: int | None = None,
    progress: ProgressOption = None,
) -> VerifyReport:
    """Compare every ONNX file of a folder with an independent float32 forward of its checkpoint (docs/verify.md).

    A folder that differs is no exception: `passed` of the report is False.

    Args:
        checkpoint: what the folder was pressed from, with the same `adapter` and `base`.
        model_dir: a folder that press wrote.
        images: folder of images; a few drawn pictures unless given.
        prompts: of a decoder alone: text file with a prompt on each line.
        references: captions of these images that people wrote: adds CIDEr-D, BLEU-4, ROUGE-L, METEOR.
        split: split of Karpathy's file, as "test".
        dtype: dtypes, as "q4,fp32" or a list; all of the folder unless given.
        max_new_tokens: end captions after this many tokens.
        min_match: least share of forced tokens that are the reference's, 0 to 1.
        engine: "native", "ort", "auto", or "both" for a row of each.
        html: where to write a page with images, captions and plots.
        trace: where to write the fidelity trace that Firefox's tests read; it names `trace_model_id`
            and `trace_revision`.
        force: replace the page and the trace.
        threads: one per core unless given.
        progress: as of `press`.
    """
    options = locals()
    options.pop("progress")
    options["adapter"] = _adapters(adapter)
    return build(VerifyReport, run("lorapress_verify", options, progress))


def inspect(path: Path) -> dict[str, Any]:
    """Say what a checkpoint, adapter, pressed folder, .onnx or .safetensors file is; reads headers only.

    Returns a dict with "kind" (checkpoint, adapter, bundle, onnx or safetensors), "path", "bytes", "parameters",
    "dtypes" {name: bytes}, and more keys for some kinds, as `lorapress inspect --json`.
    """
    report: dict[str, Any] = call("lorapress_inspect", path_bytes(path))
    return report
