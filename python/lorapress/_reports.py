"""What the commands return: the objects of `--json` as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

T = TypeVar("T")


def build(cls: type[T], data: dict[str, Any]) -> T:
    """Make a dataclass of a JSON object; keys that it has not are left out."""
    values: dict[str, Any] = {}
    for row in fields(cls):  # type: ignore[arg-type]
        if row.name not in data:
            continue
        value, of = data[row.name], row.metadata.get("of")
        if of is not None and isinstance(value, list):
            value = [build(of, element) for element in value]
        elif of is not None and isinstance(value, dict):
            value = build(of, value)
        values[row.name] = value
    return cls(**values)


@dataclass(frozen=True)
class OutputFile:
    """A file that was written."""

    path: str  # relative to the output folder
    bytes: int


@dataclass(frozen=True)
class TrialCaption:
    """What the pressed folder said when press ran it once: of a test card, or after a prompt."""

    ids: list[int]  # tokens, the closing end-of-text included
    text: str
    dtype: str  # that ran


@dataclass(frozen=True)
class PressReport:
    """What press and export wrote."""

    out: str  # the folder, or one in it where the bundle asks for that
    bundle: str
    takes_images: bool  # False: of a decoder alone, `lorapress generate` runs it
    parameters: int
    adapted_tensors: int  # tensors that an adapter changed
    seconds: dict[str, float]  # of "read", "author" (graphs), "write", "caption" (the trial)
    notes: list[str]
    files: list[OutputFile] = field(default_factory=list, metadata={"of": OutputFile})
    caption: TrialCaption | None = field(default=None, metadata={"of": TrialCaption})


@dataclass(frozen=True)
class MergeReport:
    """What merge wrote."""

    out: str
    tensors: int
    merged: int  # tensors that an adapter changed
    parameters: int
    notes: list[str]
    files: list[OutputFile] = field(default_factory=list, metadata={"of": OutputFile})


@dataclass(frozen=True)
class KeptMatrix:
    """A constant matrix that quantize left as it was."""

    name: str
    reason: str


@dataclass(frozen=True)
class QuantizeReport:
    """What quantize wrote."""

    out: str
    dtype: str
    bytes_in: int  # of the model and its external data
    bytes_out: int
    operators: dict[str, int]  # nodes added (> 0) and removed (< 0), by type
    seconds: dict[str, float]  # of "read", "calibrate", "rewrite", "write"
    quantized_matrices: int
    notes: list[str]
    kept: list[KeptMatrix] = field(default_factory=list, metadata={"of": KeptMatrix})
    files: list[OutputFile] = field(default_factory=list, metadata={"of": OutputFile})
    calibration: dict[str, int] | None = None  # "images", "weights", "weights_not_observed"


@dataclass(frozen=True)
class LogitDistance:
    """Distances of next-token logits from the reference's, over the positions of its caption."""

    tokens: int
    matched: int  # positions whose most probable token is the reference's
    match: float  # matched / tokens, 0 to 1
    largest_logit_difference: float
    relative_logit_error: float
    kl_mean: float  # KL(reference || file) of the next-token distribution, nats
    kl_max: float


@dataclass(frozen=True)
class ImageParity:
    """One dtype on one image, the reference's caption forced on the file."""

    image: str
    teacher_forced: LogitDistance = field(metadata={"of": LogitDistance})
    kl: list[float]  # of each position, nats
    image_token_error: float  # relative error of the image tokens, as one vector
    ids: list[int]  # the file's own greedy caption
    text: str
    caption_equal: bool


@dataclass(frozen=True)
class LayerError:
    """Relative error of the normalised hidden stream behind a layer."""

    part: str  # "encoder" or "decoder"
    layer: int  # from 0
    error: float


@dataclass(frozen=True)
class DtypeParity:
    """One dtype of a folder, as one engine runs it, against the reference forward."""

    dtype: str
    engine: str
    bytes: int
    passed: bool
    required_match: float
    faults: list[str]
    teacher_forced: LogitDistance = field(metadata={"of": LogitDistance})
    captions: int
    captions_equal: int
    near_ties: int
    image_token_error: float
    image_token_rounding: float
    image_token_excess: float
    logit_rounding: float
    logit_excess: float
    seconds: float
    images: list[ImageParity] = field(default_factory=list, metadata={"of": ImageParity})
    layers: list[LayerError] = field(default_factory=list, metadata={"of": LayerError})
    quality: dict[str, Any] | None = None  # CIDEr-D and the others, with references


@dataclass(frozen=True)
class VerifiedImage:
    """The reference's caption of an image, or why the image could not be read."""

    image: str
    ids: list[int] = field(default_factory=list)
    text: str = ""
    pixel_difference: float = 0.0  # the checkpoint's preprocessing against the folder's, largest
    error: str = ""


@dataclass(frozen=True)
class VerifyReport:
    """What the dtypes of a folder cost against the checkpoint."""

    passed: bool  # every dtype, no fault in the folder, no unreadable image
    faults: list[str]
    notes: list[str]
    max_new_tokens: int
    unreadable_images: int
    reference_seconds: float
    images: list[VerifiedImage] = field(default_factory=list, metadata={"of": VerifiedImage})
    dtypes: list[DtypeParity] = field(default_factory=list, metadata={"of": DtypeParity})
    quality: dict[str, Any] | None = None  # of the reference forward's captions
    scored_images: int = 0
