"""The connections between the processes of a training: they wait for one another, compare, and end together.

Every process has one TCP connection, to process 0, which listens at the coordinator's address. Messages are lines of JSON.
They have met once process 0 has welcomed all of them. A connection that closes without a goodbye is a process that died; the operating system closes it at once where the process
was killed, and its probes find out in about `PROBED` seconds where the machine is gone. By then the others are in a reduction that never
ends, or that ends with an error of the backend, so their process is ended from the thread that reads, with a line that says why.
"""

import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, NoReturn

from nlp_suite.errors import TrainingError, UsageError
from nlp_suite.training.launch import Launch, split_address

WAIT = 45.0  # seconds that a process waits for the others to come, unless the variable says otherwise
VARIABLE = "NLP_SUITE_START_SECONDS"
PROBED = 10, 5, 4  # seconds of silence before a probe, between two, and how many may stay unanswered
SETTLE = 5.0  # seconds in which a process that has met an error learns whether another one's death is its cause
GOES_ON = "the same command goes on after the last checkpoint interval, also with another number of processes"


class Peers:
    """The other processes of a training.

    Args:
        launch: which of them this one is.
        seconds: how long to wait for them; default: what `NLP_SUITE_START_SECONDS` says, or `WAIT`.
        end: ends this process, after a line was printed; for tests.

    Raises:
        TrainingError: they did not come in time, or one that should not be there did.
        UsageError: `NLP_SUITE_START_SECONDS` is no number of seconds.

    Example:
        >>> with Peers(Launch(2, 1, "node01:29400")) as peers:
        ...     peers.gather("config", "lr 0.1")
        ['lr 0.1', 'lr 0.1']
    """

    def __init__(self, launch: Launch, seconds: float | None = None, end: Callable[[int], Any] = os._exit):
        self.launch = launch
        self._seconds = _wait_seconds() if seconds is None else seconds
        self._end, self._lock = end, threading.Lock()
        self._links: dict[int, _Link] = {}
        self._inbox: dict[int, queue.SimpleQueue[Any]] = {}
        self._closing, self._in_gather, self._lost = False, False, ""
        connect = self._listen if launch.process == 0 else self._connect
        try:
            connect(*split_address(launch.coordinator))
        except BaseException:
            self._close()
            raise
        for number, link in self._links.items():
            self._inbox[number] = queue.SimpleQueue()
            threading.Thread(target=self._read, args=(number, link), daemon=True, name=f"process {number}").start()

    def _listen(self, host: str, port: int) -> None:
        """Waits at the coordinator's address until all have come."""
        world, until = self.launch.processes, time.monotonic() + self._seconds
        local = host in ("localhost", "127.0.0.1", "::1")
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            server = socket.create_server((host if local else "", port), family=family, backlog=world)
        except OSError as error:
            raise TrainingError(
                f"process 0 cannot listen at {self.launch.coordinator} ({error.strerror}): "
                "give a free port of this machine as the coordinator"
            ) from None
        with server:
            while missing := self._missing():
                server.settimeout(max(0.01, until - time.monotonic()))
                try:
                    link = _Link(server.accept()[0])
                except TimeoutError:
                    line = (
                        f"process 0 waited {self._seconds:.0f} s at {self.launch.coordinator} for {world} processes "
                        f"({self.launch.by}): {_listed(missing)} did not come; start them with the same command, see that "
                        f"they can reach this address, and where they start late set {VARIABLE}"
                    )
                    self._refuse(line, self._links.values())
                self._take(link)
        for link in self._links.values():
            link.send({"welcome": True})

    def _missing(self) -> list[int]:
        """The processes that have not come, or died while they waited."""
        for number in [number for number, link in self._links.items() if link.is_closed()]:
            self._links.pop(number).close()
        return [number for number in range(1, self.launch.processes) if number not in self._links]

    @staticmethod
    def _refuse(line: str, links: Iterable["_Link"]) -> NoReturn:
        """Tells those that have come why there is no training."""
        for link in links:
            link.send({"failed": line})
        raise TrainingError(line)

    def _take(self, link: "_Link") -> None:
        """Takes a connection in, if it is one of a process that is waited for."""
        link.timeout(10)
        try:
            hello = link.receive() or {}
        except (OSError, ValueError):
            hello = {}
        number, world = hello.get("process"), hello.get("processes")
        if not isinstance(number, int):  # something else that tried the port
            link.close()
            return
        self._missing()  # one that died while it waited may have been started again
        fault = ""
        if world != self.launch.processes:
            fault = (
                f"process {number} was started as one of {world} processes, process 0 as one of {self.launch.processes}"
            )
        elif not 0 < number < self.launch.processes or number in self._links:
            fault = f"there are two processes with the number {number}"
        if fault:
            self._refuse(f"{fault}: give each its own number", (link, *self._links.values()))
        link.timeout(None)
        self._links[number] = link

    def _connect(self, host: str, port: int) -> None:
        """Tries the coordinator's address until it answers, and waits until all have come there."""
        until, why = time.monotonic() + self._seconds, "nothing was tried"
        while time.monotonic() < until:
            try:
                connection = socket.create_connection((host, port), timeout=min(5.0, self._seconds))
            except OSError as error:
                why = error.strerror or str(error)
                time.sleep(0.2)
                continue
            self._links[0] = _Link(connection)
            self._links[0].send({"process": self.launch.process, "processes": self.launch.processes})
            self._links[0].timeout(max(0.01, until - time.monotonic()))
            self._be_welcome(self._links[0])
            self._links[0].timeout(None)
            return
        raise TrainingError(self._unanswered(f"which did not answer ({why})"))

    def _be_welcome(self, link: "_Link") -> None:
        """Waits until process 0 says that all have come."""
        try:
            message = link.receive()
        except TimeoutError:
            raise TrainingError(self._unanswered("which took the connection and said nothing")) from None
        except ValueError:
            raise TrainingError(self._unanswered("where something else answered")) from None
        except OSError:
            message = None
        if message is None:
            raise TrainingError(f"process 0 of {self.launch.processes} died before all processes had come; {GOES_ON}")
        if "failed" in message:
            raise TrainingError(message["failed"])

    def _unanswered(self, what: str) -> str:
        return (
            f"process {self.launch.process} waited {self._seconds:.0f} s for the coordinator {self.launch.coordinator} "
            f"({self.launch.by}), {what}: start process 0 there, see that this machine can reach it, and where it starts late "
            f"set {VARIABLE}"
        )

    def gather(self, what: str, value: Any = None) -> list[Any]:
        """Waits until all processes are here; returns the values that they gave, by their number.

        Args:
            what: the place, the same on all processes.
            value: plain data.

        Raises:
            TrainingError: another process ended meanwhile.
        """
        with self._lock:
            self._in_gather = True
            self._raise_lost()
        try:
            if self.launch.process == 0:
                values = [value, *(self._next(p, what) for p in range(1, self.launch.processes))]
                for link in self._links.values():
                    link.send({"at": what, "value": values})
                return values
            self._links[0].send({"at": what, "value": value})
            gathered: list[Any] = self._next(0, what)
            return gathered
        finally:
            with self._lock:
                self._in_gather = False

    def _next(self, process: int, what: str) -> Any:
        message = self._inbox[process].get()
        self._raise_lost()
        if message["at"] != what:
            raise TrainingError(f"process {process} is at {message['at']!r}, and this one at {what!r}")
        return message["value"]

    def _raise_lost(self) -> None:
        if self._lost:
            raise TrainingError(self._lost)

    def _read(self, number: int, link: "_Link") -> None:
        """The thread of a connection."""
        while True:
            try:
                message = link.receive()
            except (OSError, ValueError):
                message = None
            if message is not None and "at" in message:
                self._inbox[number].put(message)
                continue
            if message is not None and "bye" in message:
                return
            failed = (message or {}).get("failed")
            self._lose(number, failed)
            return

    def _lose(self, number: int, failed: str | None) -> None:
        """Another process is gone: tells the others, and ends this one."""
        of = f"of {self.launch.processes}"
        line = failed or f"process {number} {of} died: it was killed, or its machine or the network is gone; {GOES_ON}"
        with self._lock:
            if self._closing or self._lost:
                return
            self._lost = line
            waiting = self._in_gather
        for other, link in self._links.items():
            if other != number:
                link.send({"failed": line})
        for inbox in self._inbox.values():
            inbox.put({"at": ""})  # wakes up who waits
        if not waiting:
            self._say(line)
            self._end(1)

    @staticmethod
    def _say(line: str) -> None:
        with suppress(OSError, ValueError):
            print(f"error: {line}", file=sys.stderr, flush=True)

    def settle(self, error: Exception) -> None:
        """After an error in this process: if another one's end is the cause, says so in its place.

        Raises:
            TrainingError: another process has ended.
        """
        until = time.monotonic() + SETTLE
        while time.monotonic() < until:
            with self._lock:
                self._in_gather = True  # whoever is lost now is reported by this thread
                if self._lost:
                    raise TrainingError(self._lost) from error
            time.sleep(0.05)

    def leave(self, failed: str | None = None) -> None:
        """Says goodbye, or why this process ends so that the others end, too."""
        with self._lock:
            if self._closing:
                return
            self._closing = True
        farewell = (
            {"failed": f"process {self.launch.process} of {self.launch.processes}: {failed}"}
            if failed
            else {"bye": True}
        )
        for link in self._links.values():
            link.send(farewell)
        self._close()

    def _close(self) -> None:
        for link in self._links.values():
            link.close()


class _Link:
    """A connection that carries lines of JSON."""

    def __init__(self, connection: socket.socket):
        self._socket, self._rest, self._sending = connection, b"", threading.Lock()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in zip(("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT"), PROBED):
            if hasattr(socket, option):  # named otherwise, or not there, outside Linux
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def timeout(self, seconds: float | None) -> None:
        self._socket.settimeout(seconds)

    def send(self, message: dict[str, Any]) -> None:
        """Sends a message; that nobody is there any more, the reader finds out."""
        with suppress(OSError), self._sending:
            self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self) -> dict[str, Any] | None:
        """The next message; None at the end."""
        while b"\n" not in self._rest:
            block = self._socket.recv(1 << 16)
            if not block:
                return None
            self._rest += block
        line, _, self._rest = self._rest.partition(b"\n")
        message = json.loads(line)
        if not isinstance(message, dict):
            raise ValueError("no message of a process")
        return message

    def is_closed(self) -> bool:
        """Whether the other end has gone, and all that it sent was read."""
        try:
            return not self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def _wait_seconds() -> float:
    given = os.environ.get(VARIABLE)
    if given is None:
        return WAIT
    with suppress(ValueError):
        if (seconds := float(given)) > 0:
            return seconds
    raise UsageError(f"the variable {VARIABLE} is {given!r}; allowed: a number of seconds above 0")


def _listed(processes: Sequence[int]) -> str:
    shown = ", ".join(map(str, processes[:8])) + (", …" if len(processes) > 8 else "")
    return f"process{'es' * (len(processes) > 1)} {shown}"
