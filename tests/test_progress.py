"""Progress: what is written where there is no terminal, the bars where there is one, and nothing for work of seconds."""

import fcntl
import gzip
import io
import logging
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time

import numpy as np
import pytest
from rich.console import Console

from nlp_suite import progress
from nlp_suite.data.selection import Selection
from nlp_suite.data.sources.reading import lines_without_ends, share_read
from nlp_suite.registry import SOURCES

pytestmark = pytest.mark.usefixtures("unlogged")


@pytest.fixture
def at(monkeypatch):
    """A function that sets the clock; no thread looks at the display by itself."""
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress, "_DISPLAY", progress._Display())
    monkeypatch.setattr(progress, "TICK", 3600)

    def at(seconds):
        now[0] = 1000.0 + seconds
        if progress._DISPLAY._works:
            progress._DISPLAY.show(now[0])

    return at


def test_figures_say_how_much_how_fast_and_how_long(at):
    work = progress.begin("reading", 4000, "lines")
    work.done = 1000
    assert work.figures(1010.0) == "1,000 of 4,000 lines, 25%, 100 lines/s, 0:30 left"
    work.total, work.note = None, "loss 0.5"
    assert work.figures(1010.0) == "1,000 lines, 100 lines/s, 0:10 so far, loss 0.5"
    work.unit, work.share = "", lambda done: 0.001
    assert work.figures(1010.0) == "0%, 2:46:30 left, loss 0.5"
    work.share = lambda done: 1.5  # the whole was larger than it seemed
    assert work.figures(1010.0) == "0:10 so far, loss 0.5"
    progress.end(work)


def test_a_log_gets_a_line_now_and_then(at, capsys):
    with progress.work("training the tokenizer"):
        reading = progress.track(range(100), "reading train", 100, "lines")
        for _ in range(51):
            next(reading)
        at(19)
        assert capsys.readouterr().err == ""
        at(25)
        line = "training the tokenizer: reading train: 50 of 100 lines, 50%, 2 lines/s, 0:25 left\n"
        assert capsys.readouterr().err == line
        at(44)
        assert capsys.readouterr().err == ""
        assert len(list(reading)) == 49
        at(50)
        assert capsys.readouterr().err == "training the tokenizer: 0:50 so far\n"
    assert progress._DISPLAY._works == []


def test_many_short_passes_are_not_silent(at, capsys):
    for begin in range(0, 24, 4):
        at(begin)
        with progress.work(f"pass {begin}"):
            at(begin + 3.9)
    assert capsys.readouterr().err == "pass 20: 0:04 so far\n"


def test_short_work_within_long_work_does_not_hide_it(at, capsys):
    with progress.work("predicting", 100, "rows") as rows:
        rows.done = 50
        at(19)
        with progress.work("answering", 8, "batches"):
            at(20)
    assert capsys.readouterr().err == "predicting: 50 of 100 rows, 50%, 2.5 rows/s, 0:20 left\n"


def test_work_ends_where_a_loop_is_left_or_fails(at):
    for _ in progress.track(range(3), "left"):
        break
    with pytest.raises(KeyError), progress.work("fails"):
        raise KeyError
    assert progress._DISPLAY._works == []


def test_a_loop_that_an_error_has_left_ends_with_the_function_that_was_called(at):
    @progress.scope()
    def called():
        for number in progress.track(range(3), "loop"):
            raise KeyError(number)

    with progress.work("goes on"):
        with pytest.raises(KeyError) as error:
            called()
        assert error.traceback and [work.description for work in progress._DISPLAY.going_on()] == ["goes on"]


@pytest.mark.slow
def test_no_thread_is_left_behind(monkeypatch):
    monkeypatch.setattr(progress, "_DISPLAY", progress._Display())
    before = set(threading.enumerate())  # with those of work that a test before this one left

    def threads():
        return [thread for thread in set(threading.enumerate()) - before if thread.name == "progress"]

    with progress.work("something"):
        assert threads()
    end = time.monotonic() + 10
    while threads() and time.monotonic() < end:
        time.sleep(0.01)
    assert not threads()


@pytest.mark.parametrize("name, opened", [("a.txt", open), ("a.txt.gz", gzip.open)])
def test_the_share_of_files_that_was_read(tmp_path, name, opened):
    paths = [tmp_path / f"{n}-{name}" for n in range(2)]
    for path in paths:
        with opened(path, "wb") as file:
            file.write(b"line\n" * 100)
    share = share_read(paths)
    first = lines_without_ends(paths[0])
    assert share(0) == 0
    for _ in range(50):
        next(first)
    assert share(0) == 0.25
    list(first), list(lines_without_ends(paths[1]))
    assert share(0) == 1.0


def test_every_pass_over_a_split_knows_its_end(tmp_path, at):
    (tmp_path / "a.tsv").write_text("text\tlabel\n" + "fine\tgood\n" * 99)
    whole = Selection(SOURCES.get("files")(train=str(tmp_path / "a.tsv")), "train")
    for selection in (whole, whole.take(np.arange(20, 80))):
        examples = iter(selection)
        next(examples), next(examples)
        (work,) = progress._DISPLAY._works
        assert work.description == "reading train" and 0 < work.completed() < 1
        list(examples)
        assert progress._DISPLAY._works == []


BARS = """
import sys, time
from nlp_suite import progress
progress.SHOWN_AFTER, progress.TICK = 0.0, 0.01
with progress.work("outer"):
    for number in progress.track(range(400), "inner", 400, "things"):
        while not progress._DISPLAY._tasks:
            time.sleep(0.01)
        if number == 200:
            print("a line", file=sys.stderr)
            print("half", flush=True)
            sys.stdin.readline()
            time.sleep(0.1)
print("done")
"""


@pytest.fixture
def terminal():
    """What a terminal shows of a process with bars, and the process, which waits for a line when it has done half."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    pipe, environment = subprocess.PIPE, {**os.environ, "TERM": "xterm"}
    with subprocess.Popen(
        [sys.executable, "-c", BARS], stdin=pipe, stdout=pipe, stderr=terminal, env=environment, text=True
    ) as process:
        os.close(terminal)
        yield os.fdopen(controller, "rb", 0), process


def test_a_terminal_gets_bars_and_lines_stay_whole(terminal):
    screen, process = terminal
    parts = []

    def read():  # a terminal that nobody reads is full after some thousand bytes, and whoever writes waits
        try:
            while part := screen.read(2**16):
                parts.append(part)
        except OSError:  # EIO: nobody has it open any more
            pass

    reader = threading.Thread(target=read)
    reader.start()
    answer, _ = process.communicate("go on\n", timeout=60)
    reader.join(60)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(parts).decode("utf-8", "replace"))
    assert process.returncode == 0 and answer == "half\ndone\n"
    assert re.search(r"inner .*of 400 things, \d+%, [\d,]+ things/s, \d:\d\d left", shown) and "outer" in shown
    assert "a line\r\n" in shown


def test_work_goes_on_when_its_terminal_is_gone(terminal):
    screen, process = terminal
    assert process.stdout.readline() == "half\n"
    screen.close()
    answer, _ = process.communicate("go on\n", timeout=60)
    assert process.returncode == 0 and answer == "done\n"


# ---- single lines


LOGGER = logging.getLogger("nlp_suite.of_this_test")


def test_a_line_goes_to_standard_error_until_the_program_logs_it(capsys, caplog):
    progress.say("[one] :smile: 50%", LOGGER)
    assert capsys.readouterr().err == "[one] :smile: 50%\n" and not caplog.records
    with caplog.at_level(logging.INFO, "nlp_suite"):
        progress.say("[two] 50%", LOGGER)
    assert capsys.readouterr().err == "" and [record.getMessage() for record in caplog.records] == ["[two] 50%"]


def test_a_console_that_was_given_has_the_line_in_any_case(caplog):
    console = Console(file=io.StringIO(), width=20)
    with caplog.at_level(logging.INFO, "nlp_suite"):
        progress.say("a line that is longer than the console", LOGGER, to=console)
    assert console.file.getvalue() == "a line that is longer than the console\n" and len(caplog.records) == 1


def test_quiet_leaves_warnings_and_the_log(at, capsys, caplog, monkeypatch):
    monkeypatch.setattr(progress, "_quiet", True)
    with progress.work("tokenising", 8, "texts"):
        at(30)
    progress.say("a line", LOGGER)
    assert capsys.readouterr().err == ""
    progress.say("a warning", LOGGER, level=logging.WARNING, to=progress.console())
    assert capsys.readouterr().err == "a warning\n"
    with caplog.at_level(logging.INFO, "nlp_suite"):
        progress.say("a line", LOGGER)
    assert caplog.records[-1].getMessage() == "a line"


def test_an_import_leaves_logging_as_it_was():
    code = (
        "import logging, pkgutil, nlp_suite.cli, nlp_suite.config, nlp_suite.data.prepare, nlp_suite.training.checks\n"
        "ours = [logging.getLogger(n) for n in logging.root.manager.loggerDict if n.startswith('nlp_suite')]\n"
        "print(len(ours) > 2, [(x.handlers, x.level) for x in (logging.root, *ours) if x.handlers or x.level % 30])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "True []\n", done.stdout + done.stderr
