"""GIF, BMP and TIFF files by hand, where Pillow writes only some of the kinds that it reads."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray


def ramp_palette(colours: int) -> Array:
    """Return that many different colours, none of them gray in order."""
    i = np.arange(colours)
    return np.stack([i * 37 % 256, 255 - i * 11 % 256, i * 91 % 256], -1).astype(np.uint8)


def pack_bits(values: Array, bits: int) -> Array:
    """Pack rows of small numbers into bytes, the first in the highest bits, a row at a time."""
    planes = (values[..., None] >> np.arange(bits - 1, -1, -1)) & 1
    return np.packbits(planes.reshape(values.shape[0], -1).astype(np.uint8), axis=1)


# --- GIF


def gif_codes(indices: Array) -> bytes:
    """LZW data of 8 bits that never uses its table: a clear code after every 200 pixels."""
    bits, out, count = 0, bytearray(), 0

    def put(code: int) -> None:
        nonlocal bits, count
        bits |= code << count
        count += 9
        while count >= 8:
            out.append(bits & 255)
            bits >>= 8
            count -= 8

    for at, index in enumerate(indices.reshape(-1).tolist()):
        if at % 200 == 0:
            put(256)
        put(index)
    put(257)
    if count:
        out.append(bits & 255)
    parts = [bytes(out[i : i + 255]) for i in range(0, len(out), 255)]
    return b"\x08" + b"".join(bytes([len(part)]) + part for part in parts) + b"\0"


def gif_table(palette: Array | None) -> tuple[int, bytes]:
    """Return the flag bits and the bytes of a colour table of 2, 4, ... 256 colours."""
    if palette is None:
        return 0, b""
    return 0x80 | len(palette).bit_length() - 2, palette.tobytes()


@dataclass
class Frame:
    """One frame of a GIF: where it stands, its own table, its transparent index."""

    indices: Array
    left: int = 0
    top: int = 0
    palette: Array | None = None
    transparent: int | None = None
    interlaced: bool = False


def gif(
    screen: tuple[int, int], palette: Array | None, *frames: Frame, background: int = 0
) -> bytes:
    """Return a GIF with a global table or none."""
    flags, table = gif_table(palette)
    out = b"GIF89a" + struct.pack("<HHBBB", *screen, flags, background, 0) + table
    out += b"!\xfe\x07comment\0"
    for frame in frames:
        if frame.transparent is not None:
            out += b"!\xf9\x04" + struct.pack("<BHBB", 1, 5, frame.transparent, 0)
        height, width = frame.indices.shape
        flags, table = gif_table(frame.palette)
        flags |= 0x40 if frame.interlaced else 0
        out += b"," + struct.pack("<HHHHB", frame.left, frame.top, width, height, flags) + table
        order = [range(0, height, 8), range(4, height, 8), range(2, height, 4), range(1, height, 2)]
        rows = [y for part in order for y in part] if frame.interlaced else list(range(height))
        out += gif_codes(frame.indices[rows])
    return out + b";"


# --- BMP


def bmp_rows(packed: Array, top_down: bool = False) -> bytes:
    """Pad rows of bytes to four and put the last one first."""
    padded = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 4)))
    return (padded if top_down else padded[::-1]).tobytes()


def bmp(
    size: tuple[int, int],
    bits: int,
    data: bytes,
    palette: Array | None = None,
    *,
    header: int = 40,
    compression: int = 0,
    masks: tuple[int, ...] = (),
    top_down: bool = False,
    colours: int | None = None,
    shift: int = 0,
) -> bytes:
    """Return a BMP with a header of 12, 40, 108 or 124 bytes; `shift` moves the pixels on."""
    width, height = size
    table = b""
    if palette is not None:
        fill = [] if header == 12 else [0]
        table = b"".join(bytes([*colour[::-1].tolist(), *fill]) for colour in palette)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        rows = -height if top_down else height
        count = (len(palette) if palette is not None else 0) if colours is None else colours
        info = struct.pack(
            "<IiiHHIIiiII", header, width, rows, 1, bits, compression, len(data), 0, 0, count, 0
        )
        more = b"".join(struct.pack("<I", mask) for mask in masks)
        info += more if header == 40 else more.ljust(header - 40, b"\0")
    offset = 14 + len(info) + len(table) + shift
    total = struct.pack("<IHHI", offset + len(data), 0, 0, offset)
    return b"BM" + total + info + table + bytes(shift) + data


def rle8(indices: Array) -> bytes:
    """Lines as runs and as blocks of pixels in turns, with ends of lines and of the whole."""
    out = bytearray()
    for y, row in enumerate(indices[::-1].tolist()):
        x = 0
        while x < len(row):
            run = 1
            while x + run < len(row) and row[x + run] == row[x] and run < 255:
                run += 1
            if run > 1 or y % 2 == 0 or len(row) - x < 3:
                out += bytes([run, row[x]])
                x += run
            else:
                count = min(5, len(row) - x)
                out += bytes([0, count, *row[x : x + count]]) + bytes(count % 2)
                x += count
        out += b"\0\0"
    return bytes(out) + b"\0\1"


# --- TIFF

SHORT, LONG = 3, 4


def tiff(
    blocks: list[bytes],
    tags: dict[int, Any],
    order: str = "<",
    offsets: int = 273,
    counts: int = 279,
) -> bytes:
    """Return a TIFF of one directory; a tag's value is a number, a list of numbers, or bytes."""
    out = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 0))
    places = []
    for block in blocks:
        out += bytes(len(out) % 2)
        places.append(len(out))
        out += block
    tags = {**tags, offsets: [LONG, places], counts: [LONG, [len(block) for block in blocks]]}
    entries = []
    for tag in sorted(tags):
        value = tags[tag]
        kind, numbers = value if isinstance(value, list) else (SHORT, value)
        if isinstance(numbers, bytes):
            kind, count, data = 1, len(numbers), numbers
        else:
            numbers = [numbers] if isinstance(numbers, int) else list(numbers)
            count = len(numbers)
            data = struct.pack(order + ("H" if kind == SHORT else "I") * count, *numbers)
        if len(data) > 4:
            out += bytes(len(out) % 2)
            place, data = len(out), data
            out += data
            data = struct.pack(order + "I", place)
        entries.append(struct.pack(order + "HHI", tag, kind, count) + data.ljust(4, b"\0"))
    out += bytes(len(out) % 2)
    struct.pack_into(order + "I", out, 4, len(out))
    return bytes(out) + struct.pack(order + "H", len(entries)) + b"".join(entries) + bytes(4)


def tiff_of(
    samples: Array,
    photometric: int,
    bits: int = 8,
    order: str = "<",
    rows: int = 0,
    tile: tuple[int, int] = (0, 0),
    planes: bool = False,
    **more: Any,
) -> bytes:
    """Return an uncompressed TIFF of [height, width, samples], in strips of `rows` or in tiles."""
    height, width, count = samples.shape
    tags = {256: width, 257: height, 258: [SHORT, [bits] * count], 259: 1, 262: photometric}
    tags |= {277: count, 284: 2 if planes else 1, **{int(k[1:]): v for k, v in more.items()}}

    def encode(part: Array) -> bytes:
        if bits == 16:
            return part.astype(order + "u2").tobytes()
        flat = part.reshape(part.shape[0], -1)
        return flat.astype(np.uint8).tobytes() if bits == 8 else pack_bits(flat, bits).tobytes()

    parts = [samples[:, :, i : i + 1] for i in range(count)] if planes else [samples]
    blocks = []
    if tile != (0, 0):
        across, down = tile
        for part in parts:
            padded = np.pad(part, ((0, -height % down), (0, -width % across), (0, 0)), mode="edge")
            for top in range(0, height, down):
                for left in range(0, width, across):
                    blocks.append(encode(padded[top : top + down, left : left + across]))
        return tiff(blocks, tags | {322: across, 323: down}, order, 324, 325)
    rows = rows or height
    for part in parts:
        blocks += [encode(part[top : top + rows]) for top in range(0, height, rows)]
    return tiff(blocks, tags | {278: rows}, order)
