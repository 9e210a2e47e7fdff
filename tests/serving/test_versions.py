"""Which folders are versions, and which of them policies want."""

import pytest
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from nlp_suite.serving.versions import MAX_VERSION, desired_versions, version_folders


def make(folder, *names):
    for name in names:
        (folder / name).mkdir()
    return folder


def desired(folder, policy=""):
    config = model_server_config_pb2.ModelConfig()
    text_format.Parse(policy, config.model_version_policy)
    return list(desired_versions(folder, config.model_version_policy))


def test_only_whole_numbers_are_versions(tmp_path):
    make(tmp_path, "1", "007", "20170111173521", str(MAX_VERSION), str(MAX_VERSION + 1), "9" * 60)
    make(tmp_path, "1a", "-3", "+4", " 5", "1.0", "٣", "0x10", "1_000", "tmp", ".8")
    assert version_folders(tmp_path) == {
        1: tmp_path / "1",
        7: tmp_path / "007",
        20170111173521: tmp_path / "20170111173521",
        MAX_VERSION: tmp_path / str(MAX_VERSION),
    }


def test_zero_is_a_version(tmp_path):
    assert list(version_folders(make(tmp_path, "0"))) == [0]


def test_of_two_spellings_one_is_taken_with_a_warning(tmp_path, caplog):
    assert version_folders(make(tmp_path, "01", "1", "2")) == {1: tmp_path / "01", 2: tmp_path / "2"}
    assert "duplicate version directories, 1 is ignored" in caplog.text


def test_a_folder_without_versions_is_not_an_absent_one(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    assert version_folders(tmp_path) == {}
    for absent in ("absent", "file", "dangling"):
        with pytest.raises(OSError, match=absent):
            version_folders(tmp_path / absent)


@pytest.mark.parametrize(
    "policy, versions",
    [
        ("", [30]),
        ("latest {}", [30]),
        ("latest { num_versions: 2 }", [20, 30]),
        ("latest { num_versions: 9 }", [3, 20, 30]),
        ("all {}", [3, 20, 30]),
        ("specific { versions: [20, 3] }", [3, 20]),
        ("specific {}", []),
    ],
)
def test_policies(tmp_path, policy, versions):
    assert desired(make(tmp_path, "3", "20", "30"), policy) == versions


def test_the_newest_is_the_largest_number_and_not_the_last_name(tmp_path):
    assert desired(make(tmp_path, "9", "10")) == [10]


def test_a_version_asked_for_by_number_may_be_absent(tmp_path, caplog):
    assert desired(make(tmp_path, "1"), "specific { versions: [1, 5] }") == [1]
    assert "version 5 was requested but does not exist" in caplog.text
