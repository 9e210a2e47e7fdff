"""Vectors that are kept: found by their tokens, added to by several processes, and none that is damaged is used."""

import fcntl
import subprocess
import sys

import numpy as np
import pytest

from nlp_suite.data.vector_cache import VectorCache, digests_of
from nlp_suite.errors import DataError

ROWS = [np.array(tokens, "int32") for tokens in ([5, 6, 7], [5, 6], [7, 6, 5], [300])]
DIGESTS = digests_of(ROWS)
VECTORS = np.random.default_rng(1).normal(size=(4, 3)).astype("float32")
RECORD = 16 + 4 + 3 * 4  # bytes


@pytest.fixture
def cache(tmp_path):
    return VectorCache(tmp_path / "features" / "a.vectors", 3)


def fill(cache, rows=range(4)):
    with cache.only_writer():
        cache.add([DIGESTS[i] for i in rows], VECTORS[list(rows)])


def test_what_was_added_is_found_by_its_tokens(cache):
    assert cache.find(DIGESTS).tolist() == [-1] * 4 and len(cache.vectors()) == 0 and not cache.path.exists()
    fill(cache, [2, 0])
    assert cache.find(DIGESTS).tolist() == [1, -1, 0, -1]
    fill(cache, [3, 1])
    places = cache.find(DIGESTS + DIGESTS[:1])
    assert places.tolist() == [1, 3, 0, 2, 1]
    np.testing.assert_array_equal(cache.vectors()[places[:4]], VECTORS)
    assert digests_of(row.astype("uint16") for row in ROWS) == DIGESTS and len(set(DIGESTS)) == 4


@pytest.mark.parametrize("lost", [1, 12, 13, 20, 31])
def test_a_record_that_was_not_completed_is_written_over(cache, lost):
    fill(cache)
    with open(cache.path, "r+b") as file:
        file.truncate(4 * RECORD - lost)
    assert cache.find(DIGESTS).tolist() == [0, 1, 2, -1]
    fill(cache, [3])
    assert cache.find(DIGESTS).tolist() == [0, 1, 2, 3] and cache.path.stat().st_size == 4 * RECORD
    np.testing.assert_array_equal(cache.vectors(), VECTORS)


@pytest.mark.parametrize("at", range(0, RECORD, 3))
def test_a_damaged_record_is_not_used_and_made_again(cache, at):
    fill(cache)
    content = bytearray(cache.path.read_bytes())
    content[RECORD + at] ^= 1
    cache.path.write_bytes(content)
    assert cache.find(DIGESTS).tolist() == [0, -1, 2, 3]
    fill(cache, [1])
    places = cache.find(DIGESTS)
    assert places.tolist() == [0, 4, 2, 3]
    np.testing.assert_array_equal(cache.vectors()[places], VECTORS)


ADDS = """
import sys, numpy as np
from pathlib import Path
from nlp_suite.data.vector_cache import VectorCache, digests_of
cache = VectorCache(Path(sys.argv[1]), 3)
print(flush=True)
sys.stdin.readline()  # until all are here
rows = [np.array([int(sys.argv[2]), i]) for i in range(40)]
for row in rows:
    with cache.only_writer():
        cache.add(digests_of([row]), np.full((1, 3), row[1]))
"""


def test_several_processes_add_to_it(cache):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    processes = [subprocess.Popen([sys.executable, "-c", ADDS, cache.path, str(n)], **pipes) for n in range(3)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write(b"\n")
        process.stdin.flush()
    for process in processes:
        process.communicate()
    assert [process.returncode for process in processes] == [0, 0, 0]
    places = cache.find(digests_of(np.array([n, i]) for n in range(3) for i in range(40)))
    assert sorted(places) == list(range(120))
    np.testing.assert_array_equal(cache.vectors()[places][:, 2], np.tile(np.arange(40), 3))


def test_a_file_that_was_removed_is_not_taken_for_the_one_that_is_there(cache, monkeypatch):
    fill(cache, [0])
    flock = fcntl.flock

    def late(file, operation):
        monkeypatch.undo()
        cache.path.unlink()  # while the lock is waited for
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    with cache.only_writer():
        with open(cache.path) as there, pytest.raises(BlockingIOError):
            flock(there, fcntl.LOCK_EX | fcntl.LOCK_NB)
        cache.add(DIGESTS[1:2], VECTORS[1:2])
        assert cache.find(DIGESTS).tolist() == [-1, 0, -1, -1]
        cache.path.unlink()
        cache.add(DIGESTS[2:3], VECTORS[2:3])
    assert cache.find(DIGESTS).tolist() == [-1] * 4


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot write into .*file.*: give another folder as data.cache"):
        fill(VectorCache(tmp_path / "file" / "features" / "a.vectors", 3))
