"""Long calls of the library: progress, exceptions of callbacks, Ctrl-C."""

from __future__ import annotations

import threading
from typing import Any, Callable, Union

from ._errors import invalid_argument
from ._library import Progress, ProgressFn, call, to_json

ProgressOption = Union[bool, Progress, None]


class _Bars:
    """A tqdm bar for each phase."""

    def __init__(self) -> None:
        try:
            from tqdm.auto import tqdm
        except ImportError:
            raise invalid_argument(
                "progress=True needs tqdm (pip install tqdm), or give a function(phase, done, total)"
            ) from None
        self.tqdm: Any = tqdm
        self.bar: Any = None
        self.phase = ""

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase != self.phase:
            if self.bar is not None:
                self.bar.update(self.bar.total - self.bar.n)
            self.close()
            bytes_of = {"unit": "B", "unit_scale": True, "unit_divisor": 1000}
            self.bar = self.tqdm(total=total, desc=phase, **(bytes_of if phase in ("write", "fetch") else {}))
            self.phase = phase
        self.bar.total = total
        self.bar.update(done - self.bar.n)

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()  # a phase that is cancelled stays where it was
            self.bar = None


def to_callback(progress: ProgressOption) -> tuple[Progress | None, Callable[[], None]]:
    """Return what is called with (phase, done, total), and what is called at the end."""
    if progress is None or progress is False:
        return None, lambda: None
    if progress is True:
        bars = _Bars()
        return bars, bars.close
    if not callable(progress):
        raise invalid_argument("progress is neither a function(phase, done, total) nor True")
    return progress, lambda: None


class _Call:
    """One call of a command. It runs on a thread of its own, so that Ctrl-C is not kept waiting."""

    def __init__(self, function: str, options: bytes, progress: Progress | None) -> None:
        self.function = function
        self.options = options
        self.progress = progress
        self.cancel = False
        self.report: Any = None
        self.error: BaseException | None = None
        self.done = threading.Event()

    def on_progress(self, _user: int | None, phase: bytes, done: int, total: int) -> int:
        if self.cancel:
            return 1
        if self.progress is not None:
            try:
                self.progress(phase.decode(), done, total)
            except BaseException as error:  # comes out of run()
                self.error = error
                self.cancel = True
        return int(self.cancel)

    def work(self) -> None:
        try:
            self.report = call(self.function, self.options, ProgressFn(self.on_progress), None)
        except BaseException as error:
            self.error = self.error or error
        finally:
            self.done.set()

    def run(self) -> Any:
        if threading.current_thread() is not threading.main_thread():
            self.work()
        else:
            thread = threading.Thread(target=self.work, name="lorapress")
            try:
                thread.start()  # which waits, so that KeyboardInterrupt may come out of it, too
                while not self.done.wait(0.1):  # a signal just before it begins is heard at its end
                    pass
            except BaseException:  # KeyboardInterrupt: nothing half-written stays behind
                self.cancel = True
                if thread.ident is not None:
                    thread.join()
                raise
            thread.join()
        if self.error is not None:
            raise self.error
        return self.report


def run(function: str, options: dict[str, Any], progress: ProgressOption) -> Any:
    """Run a command of the library and return its report's JSON.

    An exception of the callback cancels the work and comes out of here, and so does KeyboardInterrupt.
    """
    callback, close = to_callback(progress)
    try:
        return _Call(function, to_json(options), callback).run()
    finally:
        close()
