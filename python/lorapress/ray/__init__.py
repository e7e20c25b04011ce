"""Captions of many pictures on many machines, with Ray (docs/ray.md).

`CaptionBatch` is a step of a Ray Data pipeline; `caption_files`, and `python -m lorapress.ray IMAGES OUT.parquet`,
caption folders, globs, parquet files and webdataset tars into one parquet file, exactly one row an image.
"""

from ._batch import CaptionBatch
from ._job import Summary, caption_files

__all__ = ["CaptionBatch", "Summary", "caption_files"]
