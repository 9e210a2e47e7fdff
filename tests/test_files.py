"""The record of a folder's files: what it names, and that no kill makes a file look damaged."""

import json
import os
import stat

import pytest

from nlp_suite.data.staging import hidden_folder, place_folder
from nlp_suite.errors import DamagedFileError, RunError
from nlp_suite.files import Record, check_writable, content_of, contents_of, read_json, write_file, write_json


class Killed(BaseException):
    pass


@pytest.fixture
def record(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text(name)
    record = Record(tmp_path, "record.json", lambda name: f"restore {name}")
    record.write({"schema": 2, "files": contents_of(tmp_path, [tmp_path / "a", tmp_path / "b"]), "o": [1, None]})
    return record


def replace(record, text, **options):
    staged = record.directory / ".staged"
    staged.write_text(text)
    record.replace(staged, record.directory / "a", **options)


def test_what_is_wrong_is_said(record, tmp_path):
    assert record.check("a").read_text() == "a"
    (tmp_path / "a").write_text("ab")
    with pytest.raises(DamagedFileError, match=r"a is damaged \(it has 2 bytes, record.json says 1\): restore a"):
        record.check("a")
    (tmp_path / "a").write_text("x")
    with pytest.raises(DamagedFileError, match=r"a is damaged \(its CRC-32 is not what record.json says\): restore a"):
        record.check_all()
    (tmp_path / "a").unlink()
    with pytest.raises(DamagedFileError, match=r"a is missing, though record.json lists it: restore a"):
        record.check("a")
    (tmp_path / "c").write_text("c")
    with pytest.raises(DamagedFileError, match=r"c is not of this folder \(record.json does not list it\): restore c"):
        record.check("c")
    assert record.has("a") and record.has("c") and not record.has("d") and not record.check("d").exists()


@pytest.mark.parametrize("position", range(0, 170, 7))
def test_any_byte_of_the_record_counts(record, tmp_path, position):
    path, before = tmp_path / "record.json", record.read()
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)
    try:
        assert record.read() == before  # as where a space became another blank
    except DamagedFileError as error:
        assert "record.json is damaged" in str(error) and "restore record.json" in str(error)


def test_a_json_file_without_digest_is_of_an_old_version(tmp_path):
    (tmp_path / "old.json").write_text('{"schema": 1, "x": 2}')
    assert read_json(tmp_path / "old.json", "") == {"schema": 1, "x": 2}
    for content in ('{"schema": 2, "x": 2}', "[]", "", "[" * 100_000, '{"schema": 1'):
        (tmp_path / "new.json").write_text(content)
        with pytest.raises(DamagedFileError, match="new.json is damaged .*: look"):
            read_json(tmp_path / "new.json", "look")


def test_a_folder_without_entries_is_not_checked(tmp_path):
    write_json(tmp_path / "r.json", {"schema": 1})
    record = Record(tmp_path, "r.json", str)
    (tmp_path / "a").write_text("a")
    assert record.check("a").exists() and record.has("a") and record.matching("*") == ["a", "r.json"]
    replace(record, "b")
    assert record.check("a").read_text() == "b" and record.read() == {"schema": 1}


@pytest.mark.parametrize("calls", range(6))
def test_whenever_the_process_is_killed_every_file_is_as_recorded(record, tmp_path, monkeypatch, calls):
    """Three replacements are six renamings: of the record, then of the file."""
    real, done = os.replace, []

    def dies(source, target):
        if len(done) == calls:
            raise Killed
        done.append(target)
        real(source, target)

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(os, "replace", dies)
        for text in ("first", "second", "third", "fourth"):
            replace(record, text)
    after = Record(tmp_path, "record.json", str)
    after.check_all()
    assert after.check("a").read_text() == ["a", "first", "second", "third"][calls // 2]
    replace(after, "later")
    after.update()
    assert after.read()["files"]["a"] == [content_of(after.check("a"))]


def test_what_was_only_appended_to_is_no_damage_until_its_beginning_changes(record, tmp_path):
    replace(record, "row 1\n", appended=True)
    with open(tmp_path / "a", "a") as file:
        file.write("row 2\n")
    assert record.check("a").read_text() == "row 1\nrow 2\n"
    (tmp_path / "a").write_text("row 7\nrow 2\n")
    with pytest.raises(DamagedFileError):
        record.check("a")


def test_another_process_that_replaces_a_file_is_no_damage(record, tmp_path, monkeypatch):
    read, other = record.read, Record(tmp_path, "record.json", str)
    contents = iter([read()])
    replace(other, "new")
    other.update()
    monkeypatch.setattr(record, "read", lambda: next(contents, None) or read())
    assert record.check("a").read_text() == "new"


def test_entries_come_and_go(record, tmp_path):
    record.update({"c": [None, "1 bytes, crc32 00000000"]}, without=["b"], o=2)
    content = record.read()
    assert set(content["files"]) == {"a", "c"} and content["o"] == 2
    assert not record.has("c") and record.matching("?") == ["a"]


def test_a_large_file_is_read_once_a_process(record, tmp_path, monkeypatch):
    (tmp_path / ".staged").write_bytes(bytes(1 << 20))
    record.replace(tmp_path / ".staged", tmp_path / "a")
    record.check("a")
    with monkeypatch.context() as patch:
        patch.setattr("nlp_suite.files._crc32", None)
        record.check("a")
    with open(tmp_path / "a", "r+b") as file:
        file.write(b"x")
    os.utime(tmp_path / "a", ns=(1, 1))
    with pytest.raises(DamagedFileError):
        record.check("a")


def test_a_full_disk_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    write_file(tmp_path / "a", "before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot write '.*a': No space left on device"):
        write_file(tmp_path / "a", "after")
    assert (tmp_path / "a").read_text() == "before" and len(list(tmp_path.iterdir())) == 1


def test_a_folder_that_cannot_be_written_is_named_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    check_writable(tmp_path / "new" / "deep", "give another", RunError)
    with pytest.raises(RunError, match=r"cannot write into '.*file' \(Not a directory\): give another"):
        check_writable(tmp_path / "file" / "new", "give another", RunError)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o002])
def test_permissions_are_what_the_umask_says(tmp_path, umask):
    before = os.umask(umask)
    try:
        with hidden_folder(tmp_path, ".x-") as folder:
            (folder / "made").mkdir()
            write_json(folder / "made" / "a.json", json.loads("{}"))
            place_folder(folder / "made", tmp_path / "made")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o777 & ~umask
    assert stat.S_IMODE((tmp_path / "made" / "a.json").stat().st_mode) == 0o666 & ~umask
