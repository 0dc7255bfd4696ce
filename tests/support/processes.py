"""Several processes that train together, as torchrun starts them, each with the same function to call."""

import multiprocessing
import os
import pickle
import socket
import traceback

import torch


def patience(seconds=10.0):
    """So many seconds on an idle machine; more where other programs share its cores."""
    return seconds * max(1.0, 2 * os.getloadavg()[0] / (os.cpu_count() or 1))


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def start(world, function, *arguments, **environment):
    """Forked processes (quick: nothing is imported again) and the queue of their (rank, result or error)."""
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    shared = {"WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), **environment}
    processes = [
        context.Process(
            target=_call, args=(results, function, arguments, {**shared, "RANK": rank, "LOCAL_RANK": rank}), daemon=True
        )
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    return processes, results


def together(world, function, *arguments, **environment):
    """What ``function(*arguments)`` returns in each of ``world`` processes, by rank; errors come as exceptions."""
    processes, results = start(world, function, *arguments, **environment)
    found = dict(result(results) for _ in processes)
    for process in processes:
        process.join(30)
    return [found[rank] for rank in range(world)]


def result(results):
    """The next (rank, result)."""
    rank, value = results.get(timeout=120)
    return rank, pickle.loads(value)


def _call(results, function, arguments, environment):
    os.environ.update({name: str(value) for name, value in environment.items()})
    torch.set_num_threads(1)
    try:
        value = function(*arguments)
    except BaseException as error:
        traceback.print_exc()
        value = error
    results.put((int(environment["RANK"]), pickle.dumps(value)))  # bytes: a tensor would be shared memory of the dead
    results.close()
    results.join_thread()
    os._exit(0)
