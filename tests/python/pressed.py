"""A folder that the tests of this package share: pressed once, of the smallest golden."""

import atexit
import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import lorapress
from harness import BASE, PROGRAM, ROOT

IMAGES = sorted((BASE / "golden").glob("image*.png"))
MORE_IMAGES = [
    ROOT / "tests/goldens/images" / name
    for name in (
        "exif_6.jpg",
        "png_gray_alpha.png",
        "gif_part.gif",
        "webp_alpha.webp",
        "png_palette.png",
    )
]


@functools.cache
def folder() -> Path:
    """MODEL_DIR in fp32."""
    scratch = Path(tempfile.mkdtemp(prefix="lorapress-test-"))
    atexit.register(shutil.rmtree, scratch)
    lorapress.export(BASE, scratch / "model")
    return scratch / "model"


@functools.cache
def programs_captions(*flags: str) -> list[str]:
    """What `lorapress caption` says of IMAGES and MORE_IMAGES."""
    command = [PROGRAM, "caption", folder(), *IMAGES, *MORE_IMAGES, "--json", *flags]
    done = subprocess.run(command, check=True, capture_output=True)
    return [row["text"] for row in json.loads(done.stdout)["captions"]]
