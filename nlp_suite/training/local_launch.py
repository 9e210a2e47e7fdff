"""Several processes of one command on this machine, started together and ended together."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from nlp_suite.errors import TrainingError, UsageError
from nlp_suite.training.peers import GOES_ON

VERBS = ("train",)  # whose processes train together
GRACE = 30.0  # seconds in which the others end by themselves once one has


def check_local(command: Sequence[str], processes: int) -> None:
    """Refuses what cannot be started.

    Raises:
        UsageError: no verb that trains, options that are given here, or no processes.
    """
    verb = next((word for word in command if not word.startswith("-")), None)
    if verb not in VERBS:
        given = f"{verb!r}" if verb else "nothing"
        raise UsageError(
            f"after -- a command is expected, as in `-- train CONFIG`; got {given}; allowed: {', '.join(VERBS)}"
        )
    taken = ("--coordinator", "--processes", "--process-id")
    if twice := [word for word in command if word.split("=")[0] in taken]:
        raise UsageError(f"{' and '.join(twice)} after --: launch gives these to each process itself")
    if processes < 1:
        raise UsageError(f"--processes {processes}: allowed: 1 or more")


def launch_local(command: Sequence[str], processes: int) -> None:
    """Runs the same command in several processes and waits for all of them; cores are shared out where there are enough.

    Args:
        command: arguments of `nlp-suite`.
        processes: how many.

    Raises:
        UsageError: see `check_local`.
        TrainingError: a process failed; what it has to say it has said itself.
    """
    check_local(command, processes)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []  # which is Linux's
    address = f"localhost:{_free_port()}"
    started: list[subprocess.Popen[bytes]] = []
    with _signals_passed_on(started):
        for number in range(processes):
            share = cores[number * len(cores) // processes : (number + 1) * len(cores) // processes]
            started.append(_start(command, number, processes, address, share))
        codes, ended = _wait(started)
    failed = [
        f"process {number} ended with {_shown(code)}"
        for number, code in enumerate(codes)
        if code and number not in ended
    ]
    failed += [f"process {number}, which did not end by itself within {GRACE:.0f} s, was ended" for number in ended]
    if failed:
        died = any(code < 0 for code in codes)
        raise TrainingError(f"{'; '.join(failed)}{f'; {GOES_ON}' if died else ''}")


def _start(command: Sequence[str], number: int, processes: int, address: str, cores: Sequence[int]) -> Any:
    """Starts a process, in a session of its own: a terminal's Ctrl-C comes to it through this one."""
    environment = {
        **os.environ,
        "JAX_COORDINATOR_ADDRESS": address,
        "JAX_NUM_PROCESSES": str(processes),
        "JAX_PROCESS_ID": str(number),
    }
    with _only(cores):
        return subprocess.Popen([sys.executable, "-m", "nlp_suite", *command], env=environment, start_new_session=True)


@contextmanager
def _only(cores: Sequence[int]) -> Iterator[None]:
    """Within the context this process, and what it starts, has these cores; none given: those that it has."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _wait(started: Sequence[Any]) -> tuple[list[int], list[int]]:
    """The exit codes, and the numbers of those that were ended, as once one has failed they did not end by themselves."""
    until, ended = None, []
    while any(process.poll() is None for process in started):
        if until is None and any(process.poll() for process in started):
            until = time.monotonic() + GRACE
        if until is not None and time.monotonic() > until:
            for number, process in enumerate(started):
                if process.poll() is None and number not in ended:
                    process.kill()
                    ended.append(number)
        time.sleep(0.1)
    return [process.wait() for process in started], ended


@contextmanager
def _signals_passed_on(started: Sequence[Any]) -> Iterator[None]:
    """Within the context Ctrl-C and SIGTERM are for process 0, which ends the others."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        for process in started[:1]:
            process.send_signal(number)

    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, pass_on) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before):
            signal.signal(number, handler)
        for process in started:
            if process.poll() is None:
                process.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port: int = probe.getsockname()[1]
        return port


def _shown(code: int) -> str:
    return f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
