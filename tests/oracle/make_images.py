"""Makes tests/goldens/images: files of many kinds, and what Pillow decodes and resizes them to."""

from __future__ import annotations

import argparse
import shutil
import struct
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

import more_images
from common import GOLDENS, folder_bytes, quiet, rng_for, versions, write_json

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
ORIENTATION = 0x0112
BOTH = ("bicubic", "bilinear")
ONE: tuple[tuple[int, int], ...] = ((56, 56),)
MANY = ((32, 32), (56, 56), (64, 64), (33, 47), (200, 9), (1, 1), (131, 64), (131, 97))


def picture(width: int, height: int, name: str) -> Image.Image:
    """Draw gradients, a checkerboard and a field of noise: hard for a resizer, small as PNG."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [
        x * 255 // max(width - 1, 1),
        y * 255 // max(height - 1, 1),
        ((x // 3 + y // 3) % 2) * 255,
    ]
    pixels = np.stack(planes, -1).astype(np.uint8)
    h, w = height // 3, width // 3
    noise = rng_for("picture", name).integers(0, 256, (h, w, 3), dtype=np.uint8)
    pixels[h : 2 * h, w : 2 * w] = noise
    pixels[: height // 4, width * 3 // 4 :] = (255, 0, 16)
    return Image.fromarray(pixels, "RGB")


def alpha_plane(size: tuple[int, int]) -> Image.Image:
    """Return an alpha channel from clear to opaque."""
    x = np.linspace(0, 255, size[0]).astype(np.uint8)
    return Image.fromarray(np.repeat(x[None], size[1], 0), "L")


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return one PNG chunk with length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_png16(path: Path, values: np.ndarray) -> None:
    """Write a 16-bit PNG by hand, gray [h, w] or RGB [h, w, 3]; Pillow writes no 16-bit RGB."""
    height, width = values.shape[:2]
    colour = 2 if values.ndim == 3 else 0
    raw = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(raw, 9)), (b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(k, d) for k, d in chunks))


def values16(size: tuple[int, int], channels: int) -> np.ndarray:
    """Return 16-bit ramps whose low bytes differ from their high bytes."""
    x = np.linspace(0, 65535, size[0] * size[1] * channels).astype(np.uint16)
    shape = (size[1], size[0], channels) if channels > 1 else (size[1], size[0])
    return x.reshape(shape)


@dataclass
class Source:
    """One image file and which resized versions of it to keep."""

    file: str
    write: Callable[[Path], None]
    sizes: tuple[tuple[int, int], ...] = ONE
    filters: tuple[str, ...] = ("bicubic",)
    orientation: int = 1


@dataclass
class Store:
    """Expected images, each content written once."""

    root: Path
    known: dict[bytes, str] = field(default_factory=dict)

    def put(self, image: Image.Image, name: str) -> str:
        """Write an RGB image as PNG unless the same pixels are stored; return its path."""
        key = repr(image.size).encode() + image.tobytes()
        if key not in self.known:
            self.known[key] = f"expected/{name}.png"
            target = self.root / self.known[key]
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target, optimize=True)
        return self.known[key]


def saver(image: Image.Image, **options: Any) -> Callable[[Path], None]:
    """Return a function that saves the image with the options at a path."""
    return lambda path: image.save(path, **options)


def jpegs(rgb: Image.Image) -> list[Source]:
    """JPEG in every sampling and colour layout."""
    small = rgb.resize((67, 49), Image.Resampling.BICUBIC)
    common = {"quality": 85}
    return [
        Source("jpeg_420.jpg", saver(rgb, subsampling="4:2:0", **common), (*MANY, (224, 224))),
        Source("jpeg_422.jpg", saver(small, subsampling="4:2:2", **common)),
        Source("jpeg_444.jpg", saver(small, subsampling="4:4:4", **common)),
        Source("jpeg_progressive.jpg", saver(small, progressive=True, **common)),
        Source("jpeg_gray.jpg", saver(small.convert("L"), **common)),
        Source("jpeg_cmyk.jpg", saver(small.convert("CMYK"), **common)),
        Source("jpeg_rgb.jpg", saver(small, keep_rgb=True, **common)),
    ]


def pngs(rgb: Image.Image) -> list[Source]:
    """PNG in every colour type, with chunks that Pillow passes over."""
    small = rgb.crop((0, 0, 67, 49))
    rgba = small.copy()
    rgba.putalpha(alpha_plane(small.size))
    gray_alpha = Image.merge("LA", (small.convert("L"), alpha_plane(small.size)))
    palette = small.quantize(32)
    gamma = PngImagePlugin.PngInfo()
    gamma.add(b"gAMA", struct.pack(">I", 100000))
    return [
        Source("png_rgb.png", saver(rgb), MANY, BOTH),
        Source("png_rgba.png", saver(rgba), filters=BOTH),
        Source("png_gray.png", saver(small.convert("L"))),
        Source("png_gray_alpha.png", saver(gray_alpha)),
        Source("png_palette.png", saver(palette)),
        Source("png_palette_transparent.png", saver(palette, transparency=3)),
        Source("png_1bit.png", saver(small.convert("1"))),
        Source("png_gray16.png", lambda path: write_png16(path, values16((33, 21), 1))),
        Source("png_rgb16.png", lambda path: write_png16(path, values16((33, 21), 3))),
        Source("png_gamma.png", saver(small, pnginfo=gamma)),
    ]


def webps(rgb: Image.Image) -> list[Source]:
    """WebP lossy, lossless and with alpha."""
    small = rgb.resize((67, 49), Image.Resampling.BICUBIC)
    rgba = small.copy()
    rgba.putalpha(alpha_plane(small.size))
    return [
        Source("webp_lossy.webp", saver(small, quality=80)),
        Source("webp_lossless.webp", saver(small, lossless=True)),
        Source("webp_alpha.webp", saver(rgba, quality=80)),
    ]


def oriented() -> list[Source]:
    """One small image in all eight EXIF orientations, and as PNG and WebP."""
    tiny = picture(24, 16, "oriented")
    sources = []
    for value in range(1, 9):
        exif = Image.Exif()
        exif[ORIENTATION] = value
        write = saver(tiny, quality=95, subsampling="4:4:4", exif=exif)
        sources.append(Source(f"exif_{value}.jpg", write, (), (), value))
    for name, value, options in (("exif_6.png", 6, {}), ("exif_8.webp", 8, {"lossless": True})):
        exif = Image.Exif()
        exif[ORIENTATION] = value
        sources.append(Source(name, saver(tiny, exif=exif, **options), ONE, BOTH, value))
    return sources


def shapes() -> list[Source]:
    """Extreme aspect ratios, a single pixel, and a small image to enlarge."""
    return [
        Source("wide.png", saver(picture(301, 7, "wide")), ((56, 56), (32, 32)), BOTH),
        Source("tall.png", saver(picture(5, 180, "tall")), ((56, 56), (64, 64)), BOTH),
        Source("pixel.png", saver(Image.new("RGB", (1, 1), (7, 130, 251))), ((32, 32),), BOTH),
        Source("small.png", saver(picture(9, 8, "small")), ((64, 64), (224, 224)), BOTH),
    ]


def others(rgb: Image.Image) -> list[Source]:
    """GIF, BMP and TIFF; none of them is resized."""
    files = more_images.gifs(rgb) | more_images.bmps(rgb) | more_images.tiffs(rgb)
    turned = {f"tiff_turned_{value}.tif": value for value in range(1, 9)}
    return [Source(n, write, (), (), turned.get(n, 1)) for n, write in files.items()]


def expected_rgb(path: Path) -> Image.Image:
    """Decode as the trainer does: EXIF orientation, then RGB."""
    with Image.open(path) as image:
        rgb = ImageOps.exif_transpose(image).convert("RGB")
    rgb.info.pop("transparency", None)  # a PNG of it would be clear where the GIF was
    return rgb


def entry(source: Source, root: Path, store: Store) -> dict[str, Any]:
    """Write one source and its expected results; return its row of images.json."""
    path = root / source.file
    source.write(path)
    with Image.open(path) as image:
        mode = image.mode
    rgb = expected_rgb(path)
    stem = source.file.replace(".", "_")
    row: dict[str, Any] = {
        "file": source.file,
        "mode": mode,
        "orientation": source.orientation,
        "width": rgb.width,
        "height": rgb.height,
        "decoded": store.put(rgb, stem),
        "resized": [],
    }
    for name in source.filters:
        for width, height in source.sizes:
            resized = rgb.resize((width, height), FILTERS[name])
            file = store.put(resized, f"{stem}_{width}x{height}_{name}")
            row["resized"].append({"w": width, "h": height, "filter": name, "file": file})
    return row


def processed(root: Path) -> list[dict[str, Any]]:
    """Run the real image processors on two files and keep their pixel_values."""
    from safetensors.numpy import save_file
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    kinds: dict[str, Any] = {
        "siglip": SiglipImageProcessorPil,
        "vit": ViTImageProcessorPil,
        "clip": CLIPImageProcessorPil,
    }
    rows, tensors = [], {}
    for kind, file, size, edge in (
        ("siglip", "jpeg_420.jpg", 56, 0),
        ("siglip", "png_rgba.png", 32, 0),
        ("vit", "jpeg_420.jpg", 32, 0),
        ("clip", "jpeg_420.jpg", 32, 32),
        ("clip", "png_rgba.png", 24, 31),
        ("clip", "exif_6.png", 17, 20),
        ("clip", "wide.png", 21, 24),
        ("clip", "small.png", 28, 28),
    ):
        square = {"height": size, "width": size}
        cut = {"size": {"shortest_edge": edge}, "crop_size": square}
        made = kinds[kind](**(cut if edge else {"size": square}))
        values = made(images=expected_rgb(root / file), return_tensors="np")["pixel_values"]
        key = f"{kind}/{file}/{size}"
        tensors[key] = np.ascontiguousarray(values, dtype=np.float32)
        config = {k: made.to_dict().get(k) for k in ("image_mean", "image_std", "rescale_factor")}
        rows.append(
            {"processor": kind, "file": file, "size": size, "edge": edge, "tensor": key}
            | config
            | {"resample": int(made.resample)}
        )
    save_file(tensors, str(root / "processed.safetensors"))
    (root / "processed.safetensors").chmod(0o644)
    return rows


def main() -> int:
    """Make the folder under --out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=GOLDENS / "images")
    root: Path = parser.parse_args().out
    quiet()
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    rgb, store = picture(131, 97, "main"), Store(root)
    sources = [*jpegs(rgb), *pngs(rgb), *webps(rgb), *oriented(), *shapes(), *others(rgb)]
    rows = [entry(source, root, store) for source in sources]
    document = {
        "format": 1,
        "versions": versions("pillow", "transformers", "numpy"),
        "images": rows,
        "processed": processed(root),
    }
    write_json(root / "images.json", document)
    print(f"images: {len(rows)} files, {folder_bytes(root)} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
