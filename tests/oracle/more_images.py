"""The GIF, BMP and TIFF files of make_images.py."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from common import rng_for
from image_files import Frame, bmp, bmp_rows, gif, pack_bits, ramp_palette, rle8, tiff_of

Writer = Callable[[Path], None]
SIZE = (21, 13)


def indices(colours: int, name: str, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return blocks of four pixels and noise, of numbers below `colours`."""
    y, x = np.mgrid[0 : size[1], 0 : size[0]]
    noise = rng_for("indices", name).integers(0, colours, (size[1], size[0]))
    return np.where(y < size[1] // 2, (x // 4 + y) % colours, noise).astype(np.uint8)


def written(content: bytes) -> Writer:
    """Return a function that writes these bytes."""
    return lambda path: path.write_bytes(content) and None


def saved(image: Image.Image, **options: Any) -> Writer:
    """Return a function that saves the image with the options."""
    return lambda path: image.save(path, **options)


def gifs(rgb: Image.Image) -> dict[str, Writer]:
    """Global, local, gray and no tables; interlaced; a first frame that is not the screen."""
    small = rgb.resize(SIZE).quantize(64)
    table, other, gray = ramp_palette(32), ramp_palette(256)[::-1], np.arange(256)
    gray = np.stack([gray] * 3, -1).astype(np.uint8)
    part = indices(32, "part", (9, 6))
    whole = indices(32, "gif")
    later = Frame(indices(32, "later"), palette=ramp_palette(32)[::-1].copy())
    return {
        "gif_saved.gif": saved(small, interlace=0),
        "gif_saved_interlaced.gif": saved(small, interlace=1),
        "gif_gray.gif": saved(rgb.resize(SIZE).convert("L")),
        "gif_global.gif": written(gif(SIZE, table, Frame(whole), later)),
        "gif_interlaced.gif": written(gif(SIZE, table, Frame(whole, interlaced=True))),
        "gif_local.gif": written(gif(SIZE, table, Frame(whole, palette=other))),
        "gif_local_gray.gif": written(gif(SIZE, table, Frame(whole, palette=gray))),
        "gif_no_table.gif": written(gif(SIZE, None, Frame(whole))),
        "gif_beyond_table.gif": written(gif(SIZE, ramp_palette(16), Frame(whole))),
        "gif_transparent.gif": written(gif(SIZE, table, Frame(whole, transparent=3))),
        "gif_part.gif": written(gif(SIZE, table, Frame(part, 5, 4), later, background=7)),
        "gif_part_transparent.gif": written(
            gif(SIZE, table, Frame(part, 5, 4, transparent=9, interlaced=True), background=7)
        ),
        "gif_part_local.gif": written(gif(SIZE, table, Frame(part, 5, 4, palette=other))),
        "gif_larger_than_screen.gif": written(gif((6, 5), table, Frame(part, 5, 4))),
    }


def bmps(rgb: Image.Image) -> dict[str, Writer]:
    """Every depth, both orders of rows, masks, run lengths, the old header and long ones."""
    small = rgb.resize(SIZE)
    pixels = np.asarray(small)
    swapped = pixels[..., ::-1]
    x = np.dstack([swapped, indices(256, "alpha")])
    found: dict[str, Writer] = {
        "bmp_saved_1.bmp": saved(small.convert("1")),
        "bmp_saved_gray.bmp": saved(small.convert("L")),
        "bmp_saved_palette.bmp": saved(small.quantize(40)),
        "bmp_saved_24.bmp": saved(small),
    }
    for bits in (1, 4, 8):
        colours = 1 << bits
        packed = pack_bits(indices(colours, f"bmp{bits}"), bits)
        table = ramp_palette(colours)
        data = bmp_rows(packed)
        found[f"bmp_{bits}.bmp"] = written(bmp(SIZE, bits, data, table))
        found[f"bmp_{bits}_core.bmp"] = written(bmp(SIZE, bits, data, table, header=12))
    data = bmp_rows(pack_bits(indices(8, "bmp few"), 8))
    found["bmp_few_colours.bmp"] = written(bmp(SIZE, 8, data, ramp_palette(5), shift=3))
    wide = rng_for("bmp16").integers(0, 1 << 16, SIZE[::-1]).astype("<u2")
    rows16 = wide.view(np.uint8).reshape(SIZE[1], -1)
    masks = {"555": (0x7C00, 0x3E0, 0x1F), "565": (0xF800, 0x7E0, 0x1F)}
    found["bmp_16.bmp"] = written(bmp(SIZE, 16, bmp_rows(rows16)))
    for name, mask in masks.items():
        made = bmp(SIZE, 16, bmp_rows(rows16), compression=3, masks=mask)
        found[f"bmp_16_{name}.bmp"] = written(made)
    flat = x.reshape(SIZE[1], -1)
    found["bmp_32.bmp"] = written(bmp(SIZE, 32, bmp_rows(flat)))
    layouts = [
        (0xFF0000, 0xFF00, 0xFF, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0),
        (0xFF000000, 0xFF00, 0xFF, 0),
        (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
        (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
        (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
        (0xFF000000, 0xFF00, 0xFF, 0xFF0000),
        (0, 0, 0, 0),
    ]
    for number, layout in enumerate(layouts):
        made = bmp(SIZE, 32, bmp_rows(flat), header=124, compression=3, masks=layout)
        found[f"bmp_32_masks{number}.bmp"] = written(made)
    bgr = swapped.reshape(SIZE[1], -1)
    found["bmp_24_top_down.bmp"] = written(bmp(SIZE, 24, bmp_rows(bgr, True), top_down=True))
    found["bmp_24_core.bmp"] = written(bmp(SIZE, 24, bmp_rows(bgr), header=12))
    found["bmp_24_v4.bmp"] = written(bmp(SIZE, 24, bmp_rows(bgr), header=108))
    whole = indices(20, "rle")
    found["bmp_rle8.bmp"] = written(bmp(SIZE, 8, rle8(whole), ramp_palette(20), compression=1))
    # a line of runs; one with a jump over six pixels and the next line's first two; single pixels
    codes = bytes([21, 0x12, 0, 0, 5, 0x34, 0, 2, 6, 0, 10, 0x56, 0, 0])
    codes += bytes([0, 7, 0x12, 0x34, 0x56, 0x70, 14, 0x9A, 0, 0, 3, 0xBC, 0, 0]) * 5 + b"\0\1"
    table = ramp_palette(16)
    found["bmp_rle4.bmp"] = written(bmp((21, 12), 4, codes, table, compression=2))
    return found


def tiffs(rgb: Image.Image) -> dict[str, Writer]:
    """Strips and tiles, both orders of bytes, compressions, and what samples may mean."""
    small = rgb.resize(SIZE)
    pixels = np.asarray(small)
    gray = np.asarray(small.convert("L"))[..., None]
    alpha = indices(256, "alpha")[..., None]
    rgba = np.concatenate([pixels, alpha], -1)
    cmyk = small.convert("CMYK")
    wide = rng_for("tiff16").integers(0, 1 << 16, (SIZE[1], SIZE[0], 4))
    low = wide[..., :1] % 400
    found: dict[str, Writer] = {}
    for name in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits"):
        found[f"tiff_{name.removeprefix('tiff_')}.tif"] = saved(small, compression=name)
    found |= {
        "tiff_jpeg.tif": saved(rgb.resize((40, 24)), compression="jpeg", quality=85),
        "tiff_jpeg_gray.tif": saved(small.convert("L"), compression="jpeg"),
        "tiff_group3.tif": saved(small.convert("1"), compression="group3"),
        "tiff_group4.tif": saved(small.convert("1"), compression="group4"),
        "tiff_saved_1.tif": saved(small.convert("1")),
        "tiff_saved_palette.tif": saved(small.quantize(50), compression="tiff_lzw"),
        "tiff_saved_rgba.tif": saved(Image.fromarray(rgba, "RGBA"), compression="tiff_lzw"),
        "tiff_saved_la.tif": saved(Image.merge("LA", Image.fromarray(rgba).split()[2:])),
        "tiff_saved_cmyk.tif": saved(cmyk, compression="tiff_adobe_deflate"),
        "tiff_pages.tif": saved(small, save_all=True, append_images=[small.rotate(180)]),
    }
    for value in range(1, 9):
        compression = "tiff_lzw" if value % 2 else "raw"
        found[f"tiff_turned_{value}.tif"] = saved(
            small, tiffinfo={274: value}, compression=compression
        )
    for bits in (1, 2, 4, 8):
        colours = 1 << bits
        values = indices(colours, f"tiff{bits}")[..., None]
        table = ramp_palette(colours).astype(np.uint16).T.reshape(-1) * 257
        map_ = [3, table.tolist()]
        found[f"tiff_gray_{bits}.tif"] = written(tiff_of(values, 1, bits, rows=5))
        found[f"tiff_white_is_zero_{bits}.tif"] = written(tiff_of(values, 0, bits, ">"))
        found[f"tiff_palette_{bits}.tif"] = written(tiff_of(values, 3, bits, t320=map_))
    more = {
        "strips": tiff_of(pixels, 2, rows=4),
        "big_endian": tiff_of(pixels, 2, order=">", rows=4),
        "tiles": tiff_of(pixels, 2, tile=(16, 16)),
        "tiles_gray": tiff_of(gray, 1, tile=(16, 16)),
        "planes": tiff_of(pixels, 2, rows=5, planes=True),
        "tiles_planes": tiff_of(pixels, 2, tile=(16, 16), planes=True),
        "gray16": tiff_of(low, 1, 16),
        "gray16_white_is_zero": tiff_of(low, 0, 16),
        "gray16_big_endian": tiff_of(low, 1, 16, ">"),
        "rgb16": tiff_of(wide[..., :3], 2, 16),
        "rgb16_big_endian": tiff_of(wide[..., :3], 2, 16, ">"),
        "rgba16": tiff_of(wide, 2, 16, t338=2),
        "cmyk16": tiff_of(wide, 5, 16),
        "rgbx": tiff_of(rgba, 2, t338=0),
        "premultiplied": tiff_of(rgba, 2, t338=1),
        "alpha_unsaid": tiff_of(rgba, 2),
        "gray_alpha": tiff_of(np.concatenate([gray, alpha], -1), 1, t338=2),
        "six_samples": tiff_of(np.concatenate([rgba, gray, gray], -1), 2, t338=[3, [2, 0, 0]]),
        "xmp": tiff_of(pixels, 2, t700=[1, b'<x tiff:Orientation="6"/>']),
    }
    return found | {f"tiff_{name}.tif": written(content) for name, content in more.items()}
