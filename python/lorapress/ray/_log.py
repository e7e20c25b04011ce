"""What is done: lines beside OUT while the work goes on, OUT itself at the end.

OUT.jsonl gets a line for each image; it is continued, and a line that an interrupted run left unfinished is cut off. At
the end OUT appears whole, and the lines go.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

from .._errors import LorapressError

KEY = b"lorapress.ray"


class Row(NamedTuple):
    """A row of OUT; `caption` is null where there is an error."""

    image: str
    caption: str | None
    error_code: str | None
    error: str | None


class Log:
    """The rows that are done. One process at a time holds it."""

    def __init__(self, out: Path, made_with: dict[str, Any]) -> None:
        if not out.name or out.is_dir():
            raise LorapressError("invalid_argument", f"OUT {str(out)!r}: expected the name of a .parquet file")
        self.out = out
        self.lines = out.with_name(out.name + ".jsonl")
        self.made_with = json.dumps(made_with, sort_keys=True)
        self.rows: dict[str, Row] = {}
        self._read_out()
        try:
            self._file = open(self.lines, "ab+")  # noqa: SIM115
        except OSError as error:
            raise LorapressError("io", f"{self.lines}: {error.strerror}; nothing was captioned") from None
        try:
            self._hold()
            self._read_lines()
        except BaseException:
            self._file.close()
            raise

    def add(self, rows: list[Row]) -> None:
        """Append rows; they are on the disk afterwards."""
        text = "".join(json.dumps(row) + "\n" for row in rows)
        self._file.write(text.encode())
        self._file.flush()
        os.fdatasync(self._file.fileno())
        self.rows.update((row.image, row) for row in rows)

    def finish(self, order: list[str]) -> None:
        """Write OUT: rows of earlier runs that `order` has not first, then those of `order`."""
        import pyarrow as pa
        import pyarrow.parquet as parquet

        named = set(order)
        names = [name for name in self.rows if name not in named] + order
        rows = [self.rows[name] for name in names]
        schema = pa.schema([(name, pa.string()) for name in Row._fields], {KEY: self.made_with})
        columns = [pa.array(column, pa.string()) for column in zip(*rows)] if rows else None
        table = pa.table(columns, schema=schema) if columns else schema.empty_table()
        new = self.out.with_name(f".{self.out.name}.new")
        parquet.write_table(table, new)
        os.replace(new, self.out)
        self.lines.unlink()
        self._file.close()

    def close(self) -> None:
        """Give the lines free; they stay for the next run."""
        self._file.close()

    def _hold(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows: nobody else is kept out
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LorapressError(
                "exists",
                f"{self.lines}: another process writes to it; wait for it, or name another OUT",
            ) from None

    def _check(self, found: str | None, where: Path) -> None:
        if found is None:
            raise LorapressError("invalid_file", f"{where}: was not made by lorapress.ray; name another OUT")
        if found != self.made_with:
            raise LorapressError(
                "mismatch",
                f"{where}: was made with {found}, not with {self.made_with}; remove it, or name another OUT",
            )

    def _read_out(self) -> None:
        if not self.out.exists():
            return
        import pyarrow as pa
        import pyarrow.parquet as parquet

        try:
            table = parquet.read_table(self.out)
        except (pa.ArrowInvalid, OSError) as error:
            raise LorapressError("invalid_file", f"{self.out}: {error}") from None
        found = (table.schema.metadata or {}).get(KEY)
        self._check(found.decode() if found else None, self.out)
        for row in table.to_pylist():
            self.rows[row["image"]] = Row(**row)

    def _read_lines(self) -> None:
        self._file.seek(0)
        data = self._file.read()
        whole = data[: data.rfind(b"\n") + 1]
        lines = whole.splitlines()
        try:
            parsed = [json.loads(line) for line in lines]
            first = parsed[0][0] if parsed else None
            rows = [Row(*line) for line in parsed[1:]]
            if first is not None and not isinstance(json.loads(first), dict):  # made_with
                raise TypeError
        except (ValueError, TypeError, LookupError):
            raise LorapressError(
                "invalid_file", f"{self.lines}: was not made by lorapress.ray; name another OUT"
            ) from None
        if not rows:  # a run that captioned nothing binds no other one to its model and settings
            if data and not data.startswith(b"["):
                self._check(None, self.lines)
            self._file.truncate(0)
            self._file.write((json.dumps([self.made_with]) + "\n").encode())
            self._file.flush()
            return
        self._check(str(first), self.lines)
        self._file.truncate(len(whole))
        self.rows.update((row.image, row) for row in rows)
