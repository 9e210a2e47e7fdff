"""Nothing half-written is ever seen, whatever kills the writer."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from nlp_suite.errors import ExportError
from nlp_suite.export.staging import check_parent, place_file, place_version, staging, versions

ROOT = Path(__file__).parents[2]


def write_version(parent):
    with staging(parent) as folder:
        (folder / "model").mkdir()
        (folder / "model" / "saved_model.pb").write_text("x")
        return place_version(folder / "model", parent)


def test_versions_count_up_from_the_highest_number_that_a_server_sees(tmp_path):
    assert write_version(tmp_path / "a" / "m").name == "1"
    assert write_version(tmp_path / "a" / "m").name == "2"
    for name in ("00000041", "draft", "7x", "-3"):
        (tmp_path / "a" / "m" / name).mkdir()
    assert write_version(tmp_path / "a" / "m").name == "42"
    assert list(versions(tmp_path / "a" / "m")) == [1, 2, 41, 42]
    assert not list((tmp_path / "a" / "m").glob(".*"))


def test_a_number_that_another_export_took_meanwhile_is_passed_over(tmp_path, monkeypatch):
    write_version(tmp_path)
    real = os.rename

    def rename(source, target):
        if Path(target).name == "2" and not Path(target).exists():
            Path(target).mkdir()
            (Path(target) / "theirs").write_text("x")
        real(source, target)

    monkeypatch.setattr(os, "rename", rename)
    assert write_version(tmp_path).name == "3"
    assert (tmp_path / "2" / "theirs").exists()


def test_a_failed_write_leaves_nothing_not_even_the_folders_it_made(tmp_path):
    with pytest.raises(ExportError, match="No space left on device"), staging(tmp_path / "new" / "m") as folder:
        (folder / "part").write_text("x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_at_the_last_moment_leaves_no_version(tmp_path, monkeypatch):
    write_version(tmp_path)

    def fsync(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(ExportError, match="No space left"):
        write_version(tmp_path)
    assert [child.name for child in tmp_path.iterdir()] == ["1"]


def test_a_killed_writer_leaves_no_version_and_the_next_export_clears_up(tmp_path):
    code = f"""
        import os, signal
        from pathlib import Path
        from nlp_suite.export.staging import staging
        with staging(Path({str(tmp_path)!r})) as folder:
            (folder / "half").write_text("x")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    process = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)
    assert process.returncode == -signal.SIGKILL
    assert versions(tmp_path) == {} and len(list(tmp_path.glob(".export-*/half"))) == 1
    with staging(tmp_path):  # a living export beside
        write_version(tmp_path)
        assert len(list(tmp_path.glob(".export-*"))) == 1
    assert [child.name for child in tmp_path.iterdir()] == ["1"]


def test_a_file_is_replaced_in_one_step(tmp_path):
    target = tmp_path / "m.keras"
    target.write_text("old")
    with staging(tmp_path) as folder:
        (folder / "m.keras").write_text("new")
        assert target.read_text() == "old"
        place_file(folder / "m.keras", target)
    assert target.read_text() == "new" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("name", ["m[x]", "a*/m", "what?"])
def test_names_that_tensorflow_takes_for_patterns_are_refused_before_the_work(tmp_path, name):
    with pytest.raises(ExportError, match="TensorFlow reads no files in .* out of the name"):
        check_parent(tmp_path / name)


def test_a_folder_that_cannot_be_written_is_named_before_the_work(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match=r"cannot write into '.*file' \(Not a directory\): give another --to"):
        check_parent(tmp_path / "file" / "models" / "m")


def test_a_path_that_cannot_be_a_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(ExportError, match="file/m"), staging(tmp_path / "file" / "m"):
        pass
