"""Captions of files on a Ray cluster: finds images, sends their places to workers, logs what comes back."""

from __future__ import annotations

import collections
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from .._captioner import Captioner
from .._errors import LorapressError, invalid_argument
from ._batch import caption_values
from ._inputs import Place, find, read
from ._log import Log, Row

MOST_ROWS = 256  # of a task: what a worker that dies has to do again
LOAD_RETRIES = 4  # of a worker whose process dies meanwhile
LAST_LOADS_S = 10  # what other workers get to fail, too, when one could not load the model
LEAST_TASKS = 8  # for each worker, so that all end at about the same time


@dataclass(frozen=True)
class Summary:
    """What a run did."""

    images: int  # found
    captioned: int  # by this run
    failed: int  # of the images found, in this run or an earlier one
    out: str


class MapWorker:
    """An actor: a captioner, and places to rows. Ray starts it again when its process dies, and repeats its calls."""

    def __init__(self, model: str, options: dict[str, Any], batch_size: int, settings: dict[str, Any]) -> None:
        self.model = model
        self.options = options
        self.batch_size = batch_size
        self.settings = settings
        self.captioner: Captioner | None = None

    def load(self) -> None:
        """Load the model. Not done by the constructor, whose errors Ray would tell as the actor's death."""
        self.captioner = Captioner(self.model, **self.options)

    def caption(self, task: list[Place]) -> list[Row]:
        """Return a row for each place."""
        if self.captioner is None:  # started again
            self.load()
        assert self.captioner is not None
        values = [functools.partial(read, place) for place in task]
        results = caption_values(self.captioner, values, self.batch_size, self.settings)
        return [
            Row(place.image, None, code, message) if code else Row(place.image, text, None, None)
            for place, (text, code, message) in zip(task, results)
        ]


def _tasks(places: list[Place], workers: int, batch_size: int) -> Iterator[list[Place]]:
    """Cut places into tasks: equal shares, whole batches."""
    share = min(MOST_ROWS, -(-len(places) // (workers * LEAST_TASKS)))
    size = -(-share // batch_size) * batch_size
    return (places[at : at + size] for at in range(0, len(places), size))


def _made_with(model: Path, options: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """Return what the captions depend on, so that no file mixes those of two models."""
    manifest = model / "lorapress.json"
    try:
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    except OSError as error:
        raise LorapressError("not_found", f"{manifest}: {error.strerror}; press wrote none") from None
    return {"model": digest[:16], "dtype": options["dtype"], **settings}


def _connect() -> None:
    """Connect this process to a cluster unless it is."""
    import ray

    if ray.is_initialized():
        return
    try:
        ray.init(include_dashboard=False, logging_level="error", log_to_driver=False)
    except (OSError, RuntimeError, ValueError) as error:  # ConnectionError is an OSError
        first = str(error).splitlines()[0]
        where = os.environ.get("RAY_ADDRESS", "this machine")
        raise LorapressError("io", f"no Ray cluster at {where}: {first}") from None


def _worker_count(workers: int | None, threads: int) -> int:
    import ray

    cores = int(ray.cluster_resources().get("CPU", 0))
    most = cores // threads
    count = most if workers is None else workers
    if not 1 <= count <= most:
        asked = f"threads {threads}" if workers is None else f"workers {workers} with {threads} threads each"
        raise invalid_argument(f"{asked}, the cluster has {cores} cores")
    return count


def caption_files(
    images: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str],
    workers: int | None = None,
    threads: int = 1,
    batch_size: int = 8,
    column: str = "image",
    dtype: str | None = None,
    engine: str | None = None,
    retry: bool = False,
    report: Callable[[Row], None] | None = None,
    **settings: Any,
) -> Summary:
    """Caption images into one parquet file with the columns image, caption, error_code and error, one row an image.

    Runs on the cluster that this process is connected to, else on the one that RAY_ADDRESS names, else on this machine.
    While it runs, OUT.jsonl beside OUT gets the rows; the same call goes on where an interrupted one ended, and adds
    images that are new. A worker that dies is replaced, and its images are done by another one.

    Args:
        images: folders, files, globs, .parquet files and webdataset's .tar files, at the same paths on every machine.
        out: .parquet file to write; its folder is seen by this process only.
        model: folder that press wrote, at this path on every machine.
        workers: processes of `threads` threads each; as many as the cluster has cores for unless given.
        batch_size: images that are decoded together, 1 to 256.
        column: of .parquet files: bytes of image files, paths, or {"bytes", "path"}.
        dtype, engine, settings: as of CaptionBatch.
        retry: images that failed in an earlier run are tried again.
        report: is called with each new row, in no order.

    Raises:
        LorapressError: for inputs without images, a model that cannot be loaded, an OUT of another model.
    """
    paths = [images] if isinstance(images, (str, os.PathLike)) else list(images)
    if not 1 <= batch_size <= MOST_ROWS:
        raise invalid_argument(f"batch_size {batch_size}, expected 1 to {MOST_ROWS}")
    if threads < 1:
        raise invalid_argument(f"threads {threads}, expected 1 or more")
    model = Path(model).absolute()
    options = {"dtype": dtype, "threads": threads, "engine": engine}
    made_with = _made_with(model, options, settings)
    places = find([os.fspath(path) for path in paths], column)
    log = Log(Path(out), made_with)
    try:
        done = {name for name, row in log.rows.items() if not (retry and row.error is not None)}
        places_left = [place for place in places if place.image not in done]
        captioned = 0
        if places_left:
            _connect()
            count = _worker_count(workers, threads)
            expected = {place.image for place in places_left}
            arguments = (str(model), options, batch_size, settings)
            for found in _run(_tasks(places_left, count, batch_size), arguments, count, threads):
                rows = [row for row in found if row.image in expected]
                expected.difference_update(row.image for row in rows)  # once, whatever is repeated
                log.add(rows)
                captioned += len(rows)
                for row in rows if report else []:
                    report(row)  # type: ignore[misc]
            if expected:
                raise LorapressError("runtime", f"Ray returned no row for {len(expected)} images")
        log.finish([place.image for place in places])
    finally:
        log.close()
    failed = sum(log.rows[place.image].error is not None for place in places)
    return Summary(len(places), captioned, failed, os.fspath(out))


def _run(tasks: Iterable[list[Place]], arguments: tuple[Any, ...], workers: int, threads: int) -> Iterator[list[Row]]:
    """Yield rows as they come, those of a task together.

    Actors of Ray's core and not a dataset, whose executor looks at the state of everything many times a second: beside
    workers that use all cores it took a tenth of one. A worker that Ray cannot place gets no task. A task that a worker
    dies of twice is halved, until one image is left, whose row gets the error.
    """
    import ray

    actor_class = ray.remote(num_cpus=threads, max_restarts=-1, max_task_retries=1)(MapWorker)
    actors = [actor_class.remote(*arguments) for _ in range(workers)]

    def load(actor: Any) -> Any:
        return actor.load.options(max_task_retries=LOAD_RETRIES).remote()

    loading = {load(actor): actor for actor in actors}
    running: dict[Any, tuple[Any, list[Place]]] = {}
    waiting = collections.deque(tasks)
    try:
        while waiting or running:
            (ref,), _ = ray.wait([*running, *loading], num_returns=1)
            rows: list[Row] = []
            if ref in loading:
                actor = loading.pop(ref)
                try:
                    _get(ref)
                except LorapressError:  # the others' errors are awaited, else Ray tells of them
                    ray.wait([*loading], num_returns=len(loading), timeout=LAST_LOADS_S)
                    raise
            else:
                actor, task = running.pop(ref)
                try:
                    rows = _get(ref)
                except _WorkerDied as error:
                    if len(task) == 1:
                        rows = [Row(task[0].image, None, error.code, str(error))]
                    else:  # to find the image that it dies of
                        waiting.extendleft((task[: len(task) // 2], task[len(task) // 2 :]))
                    loading[load(actor)] = actor
            # One task at a time, and none before the worker is back, so that a death is blamed on no other one.
            if waiting and actor not in loading.values():
                task = waiting.popleft()
                running[actor.caption.remote(task)] = actor, task
            if rows:
                yield rows
    finally:
        for actor in actors:
            ray.kill(actor)


class _WorkerDied(LorapressError):
    """A call ended with its worker's process, and so did its repetitions."""


def _get(ref: Any) -> Any:
    """Return what a call of a worker returned, or raise what it raised, as it was raised there."""
    import ray

    try:
        return ray.get(ref)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, LorapressError):
            raise error.cause from None
        raise
    except ray.exceptions.RayActorError as error:
        first = str(error).splitlines()[0]
        raise _WorkerDied("runtime", f"the worker's process died, again and again: {first}; is there memory?") from None
