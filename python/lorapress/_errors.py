"""The one exception type, made in one place from what the C ABI reports."""

from __future__ import annotations


class LorapressError(Exception):
    """What the program would print in one line: what is wrong, where, expected against found, what to do.

    `code` is one of invalid_argument (an option or a call that makes no sense), not_found, exists (an output that
    would be overwritten), invalid_file (bytes that break their format), unsupported (a valid file that this version
    cannot do), mismatch (two files that do not belong together), io (the operating system refused), runtime (the engine
    failed, or a defect).
    """

    code: str

    def __init__(self, code: str, message: str) -> None:
        super().__init__(" ".join(message.splitlines()))  # a file's name may have a line break
        self.code = code

    def __reduce__(self) -> tuple[type[LorapressError], tuple[str, str]]:
        return (type(self), (self.code, str(self)))


def invalid_argument(message: str) -> LorapressError:
    """Return the error of a call that makes no sense."""
    return LorapressError("invalid_argument", message)
