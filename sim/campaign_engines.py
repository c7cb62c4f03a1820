"""Where the chunks of a campaign run: in local processes, or on a Dask cluster.

Both keep a bounded number of chunks under way and give a chunk out again when its worker is lost.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from itertools import chain, islice
from typing import Any

from sim.campaign import Chunk, simulate
from sim.errors import UserError
from sim.units import Floats

PER_WORKER = 2  # chunks under way
LOSSES_WITHOUT_PROGRESS = 3
Keep = Callable[[Chunk, Floats], None]


def in_processes(workers: int) -> Callable[[Iterator[Chunk], Keep], None]:
    """Engine of `workers` local processes; in this process when one is enough.

    Raises:
        UserError: workers are lost again and again without finishing a chunk.
    """

    def engine(chunks: Iterator[Chunk], keep: Keep) -> None:
        if workers == 1:
            for chunk in chunks:
                keep(chunk, simulate(chunk))
            return
        losses = 0
        while True:
            left, finished = _in_one_pool(workers, chunks, keep)
            if not left:
                return
            losses = 1 if finished else losses + 1
            if losses >= LOSSES_WITHOUT_PROGRESS:
                raise UserError("worker processes are killed again and again; is there enough memory?")
            chunks = chain(left, chunks)

    return engine


def _in_one_pool(workers: int, chunks: Iterator[Chunk], keep: Keep) -> tuple[list[Chunk], int]:
    """Run until done or a worker is lost; return the chunks that were under way then, and how many got done."""
    finished = 0
    under_way: dict[Future[Floats], Chunk] = {}
    in_hand: list[Chunk] = []  # taken, not yet under way
    # Spawned processes inherit no locks; they leave Ctrl-C to this one.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    try:
        for chunk in chunks:
            in_hand = [chunk]
            future = pool.submit(simulate, chunk)
            under_way[future], in_hand = chunk, []
            if len(under_way) >= PER_WORKER * workers:
                finished += _collect(under_way, keep)
        while under_way:
            finished += _collect(under_way, keep)
    except BrokenProcessPool:
        return [*under_way.values(), *in_hand], finished
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return [], finished


def _collect(under_way: dict[Future[Floats], Chunk], keep: Keep) -> int:
    """Keep what is done of the chunks under way; wait for one at least."""
    done, _ = wait(under_way, return_when=FIRST_COMPLETED)
    for future in done:
        result = future.result()  # a lost worker shows here; the chunk stays under way
        keep(under_way[future], result)
        del under_way[future]
    return len(done)


def on_dask(address: str, timeout_s: float = 10.0) -> Callable[[Iterator[Chunk], Keep], None]:
    """Engine on a Dask cluster that is already running; its workers need this package installed.

    Raises:
        UserError: Dask is not installed, or no scheduler answers at `address`.
    """
    try:
        distributed: Any = import_module("distributed")  # optional and untyped
    except ImportError:
        raise UserError("Dask is not installed; pip install 'ouroboros-firmware[cluster]'") from None

    def engine(chunks: Iterator[Chunk], keep: Keep) -> None:
        try:
            client = distributed.Client(address, timeout=timeout_s)
        except (OSError, ValueError) as error:
            raise UserError(f"no Dask scheduler at {address}: {error}") from None
        with client:
            most = PER_WORKER * max(1, sum(client.nthreads().values()))
            under_way = {}
            for chunk in islice(chunks, most):
                under_way[_submit(client, chunk)] = chunk
            finished = distributed.as_completed(list(under_way))
            for future in finished:
                keep(under_way.pop(future), future.result())
                for chunk in islice(chunks, 1):
                    following = _submit(client, chunk)
                    under_way[following] = chunk
                    finished.add(following)

    return engine


def _submit(client: Any, chunk: Chunk) -> Any:
    """Give out one chunk; Dask runs it again elsewhere when its worker dies."""
    return client.submit(simulate, chunk, pure=False, retries=5)
