"""The processes that read images for a loader: how they take signals, and how they end with the process they work for.

Whatever ends that process (the last line, an exception, a signal, SIGKILL), no worker outlives it by more than seconds.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader

from a2mim import signals

LOOK = 1.0  # seconds between two looks of a worker at its parent
PATIENCE = 5.0  # seconds for the killed workers to be gone
_STARTED: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()  # worker -> the process that started it


def start_workers(loader: DataLoader[Any]) -> Iterator[Any]:
    """``iter(loader)``, whose new worker processes are killed when this process exits.

    ``multiprocessing`` would only send SIGTERM and wait without limit, and a worker ignores the first SIGTERM (see
    ``settle_worker``).
    """
    before = set(multiprocessing.active_children())
    forked = multiprocessing.get_start_method() == "fork"
    # a worker that a signal meets before it is settled would die; the blocked signals of a fork wait until then
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signals.ASKING if forked else ())
    try:
        return iter(loader)
    finally:  # also where the constructor failed after it had started some
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        _STARTED.update(dict.fromkeys(set(multiprocessing.active_children()) - before, os.getpid()))
        # functions registered last run first: before those of multiprocessing and torch, which wait for the workers
        atexit.unregister(stop_workers)
        atexit.register(stop_workers)


def stop_workers() -> None:
    """Kill the workers that this process started, and wait until they are gone."""
    mine = [worker for worker, process in list(_STARTED.items()) if process == os.getpid()]
    workers = [worker for worker in mine if worker.is_alive()]
    if workers and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler would report the death of each as an error
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join(PATIENCE)


def settle_worker(_: int) -> None:
    """Prepare a worker process; the ``worker_init_fn`` of a loader.

    A terminal and a job system signal every process. The one that trains decides when to end, and still needs its
    workers until then: a worker ignores Ctrl-C, SIGUSR1 and the first SIGTERM. It ends with its parent.
    """
    for number in signals.ASKING:
        signal.signal(number, signal.SIG_IGN)
    # the first SIGTERM may be the job system's; a second one is the loader's
    signal.signal(signal.SIGTERM, lambda number, _: signal.signal(number, signal.SIG_DFL))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, signals.ASKING)
    threading.Thread(target=_follow, name="a2mim-parent", daemon=True).start()


def _follow() -> None:
    """End this process when its parent is gone."""
    parent, started_by = multiprocessing.parent_process(), os.getppid()
    # a forked parent is seen by getppid (its pipe may be held open by later forks), a spawned one by its pipe
    while os.getppid() == started_by and (parent is None or parent.is_alive()):
        time.sleep(LOOK)
    os._exit(1)
