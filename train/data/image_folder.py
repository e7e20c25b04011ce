"""`metadata.jsonl`, as datasets' ImageFolder reads it: `file_name` and a column of captions."""

from .rows import read_json_lines as read

__all__ = ["read"]
