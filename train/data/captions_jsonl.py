"""`captions.jsonl`: one object a line, `{"image": …, "caption": …}` or a list of captions."""

from .rows import read_json_lines as read

__all__ = ["read"]
