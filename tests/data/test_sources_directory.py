"""One folder a class: the layouts, the order, and folders that cannot be used."""

import pytest

from nlp_suite.data.sources.directory import DirectorySource
from nlp_suite.errors import DataError


@pytest.fixture
def make(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.with_suffix(".txt").write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return write


def test_layout_of_aclimdb(make):
    root = make(
        train__pos__0_9="good",
        train__pos__1_7="fine",
        train__neg__0_3="bad",
        train__unsup__0_0="what",
        test__pos__0="a",
    )
    (root / "train" / "urls_pos.txt").write_text("http://…")
    (root / "train" / "pos" / "notes.md").write_text("no example")
    source = DirectorySource(root=root)
    assert source.splits() == ["train", "test"]
    expected = [("bad", "neg"), ("good", "pos"), ("fine", "pos")]  # classes in turn, files sorted
    assert [(e["text"], e["label"]) for e in source.examples("train")] == expected
    assert [e["label"] for e in source.examples("test")] == ["pos"]


def test_classes_at_the_root_are_a_training_split(make):
    source = DirectorySource(root=make(pos__a="x\ny\n", neg__b="z"))
    assert source.splits() == ["train"]
    assert [e["text"] for e in source.examples("train")] == ["z", "x\ny\n"]


def test_other_names_of_validation(make):
    root = make(train__a__1="x", dev__a__1="y")
    assert DirectorySource(root=root).splits() == ["train", "validation"]
    (root / "val").mkdir()
    with pytest.raises(DataError, match="several validation folders: val, dev"):
        DirectorySource(root=root)


def test_bad_folders(make, tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        DirectorySource(root=tmp_path / "none")
    with pytest.raises(DataError, match="no folder of a class"):
        DirectorySource(root=tmp_path)
    (tmp_path / "pos").mkdir()
    with pytest.raises(DataError, match=r"pos has no file that ends in '\.txt'"):
        DirectorySource(root=tmp_path)
    root = make(pos__1="fine", neg__7=b"ok\nno\xff")
    with pytest.raises(DataError, match=r"7\.txt, line 2.*0xff"):
        list(DirectorySource(root=root).examples("train"))
    assert next(DirectorySource(root=root, on_error="replace").examples("train"))["text"] == "ok\nno\ufffd"


def test_fingerprint_changes_with_files(make):
    root = make(pos__1="fine", neg__1="bad")
    before = DirectorySource(root=root).fingerprint()
    assert DirectorySource(root=root).fingerprint() == before
    make(pos__2="good")
    assert DirectorySource(root=root).fingerprint() != before


def texts(source, split="train"):
    return [example["text"] for example in source.examples(split)]


def test_running_text_needs_no_classes(make):
    root = make(train__b="x\r\ny\n\n", train__a="z", test__c="t\n")
    source = DirectorySource(root=root, kind="text")
    assert source.splits() == ["train", "test"]
    assert list(source.examples("train")) == [{"text": "z"}, {"text": "x\ny\n\n"}]
    assert texts(source, "test") == ["t\n"]
    with pytest.raises(DataError, match="no folder of a class"):
        DirectorySource(root=root)


def test_running_text_at_the_root_and_in_folders(make, tmp_path):
    root = make(b="x", a="y")
    assert texts(DirectorySource(root=root, kind="text")) == ["y", "x"]
    before = DirectorySource(root=root, kind="text").fingerprint()
    make(pos__1="fine", neg__1="bad", unsup__0="what")
    assert texts(DirectorySource(root=root, kind="text")) == ["bad", "fine"]
    assert texts(DirectorySource(root=root, kind="text", ignore=[])) == ["bad", "fine", "what"]
    assert before != DirectorySource(root=root, kind="text").fingerprint() != DirectorySource(root=root).fingerprint()
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty has no file that ends in '\.txt'; nor a folder with files"):
        DirectorySource(root=tmp_path / "empty", kind="text")
