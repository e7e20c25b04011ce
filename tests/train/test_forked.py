"""What the other tests here build on: forks of a process that has used PyTorch."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

from forked import FORK
from harness import Case

THREADS = 4


def _convert() -> None:
    """Threads that all start with a conversion, as transformers loads a checkpoint."""
    ready = threading.Barrier(THREADS)

    def work(_: int) -> None:
        ready.wait()
        torch.ones(300_000, dtype=torch.bfloat16).to(torch.float32)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))


class Forked(Case):
    """Without the handler in forked.py, about every second child fails."""

    def test_threads_of_a_child_compute(self):
        torch.get_num_threads()  # a parent that has initialized its threads: children do not again
        children = [FORK.Process(target=_convert) for _ in range(20)]
        for child in children:
            child.start()
            child.join()
        self.assertEqual([child.exitcode for child in children], [0] * len(children))
