"""TFDS: a data set written by TFDS itself is read as TFDS reads it, and missing data are refused at once."""

import subprocess
import sys
import time

import pytest

from nlp_suite.data.sources._base import DataError
from nlp_suite.data.sources.tfds import TFDSSource, tfrecords

FACTS = [(f"text {i} é", i % 2) for i in range(40)]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    import tensorflow as tf
    import tensorflow_datasets as tfds

    folder = tmp_path_factory.mktemp("tfds")
    text, named = tfds.features.Text(), tfds.features.ClassLabel(names=["neg", "pos"])

    def store(name, features, rows, version="1.0.0", **arguments):
        def dataset(rows):
            return tf.data.Dataset.from_tensor_slices({key: [row[key] for row in rows] for key in features})

        splits = {"train": dataset(rows), "test": dataset(rows[:10])}
        facts = tfds.features.FeaturesDict(features)
        tfds.dataset_builders.store_as_tfds_dataset(name, version, facts, splits, data_dir=folder, **arguments)

    rows = [{"text": t, "label": label} for t, label in FACTS]
    store("named", {"text": text, "label": named}, rows)
    store("indexed", {"text": text, "label": named}, rows, file_format="array_record")
    numbers = [{"sentence": t, "stars": label + 3, "vector": [1.0, 2.0]} for t, label in FACTS]
    store(
        "numbers",
        {"sentence": text, "stars": tf.int32, "vector": tfds.features.Tensor(shape=(2,), dtype=tf.float32)},
        numbers,
    )
    store("secret", {"text": text, "label": named, "other": text}, [{"text": "a", "label": -1, "other": "b"}])
    store("binary", {"text": text, "label": text}, [{"text": b"caf\xe9", "label": b"x"}])
    store("imdb_reviews", {"text": text, "label": named}, rows, config="plain_text")
    glue = {"sentence": text, "idx": tf.int32, "label": tfds.features.ClassLabel(names=["negative", "positive"])}
    store(
        "glue", glue, [{"sentence": t, "idx": i, "label": -1} for i, (t, _) in enumerate(FACTS)], "2.0.0", config="sst2"
    )
    store("lm1b", {"text": text}, [{"text": t} for t, _ in FACTS], "1.1.0")
    store("tiny_shakespeare", {"text": text}, [{"text": "First Citizen:\nSpeak .\n\nAll:\n"}])
    ids = {"wikidata_id": text, "version_id": text}
    article = (
        "\n_START_ARTICLE_\nHill\n_START_SECTION_\nName\n_START_PARAGRAPH_\nIts name is old._NEWLINE_Its _top_ is not."
        "\n_START_PARAGRAPH_\nIt is high."
    )
    wiki = [{"text": article, "wikidata_id": "Q1", "version_id": "7"}]
    store("wiki40b", {"text": text, **ids}, wiki, "1.3.0", config="en")
    store("pairs", {"de": text, "en": text}, [{"de": "a", "en": "b"}])
    return folder


def text_examples(folder, dataset, split="train", **settings):
    return list(TFDSSource(kind="text", dataset=dataset, data_dir=folder, **settings).examples(split))


@pytest.mark.parametrize("dataset", ["lm1b", "named", "indexed"])
def test_running_text_needs_no_labels(data_dir, dataset):
    found = text_examples(data_dir, dataset)
    assert all(set(example) == {"text"} for example in found)
    assert sorted(example["text"] for example in found) == sorted(text for text, _ in FACTS)


def test_layout_of_tiny_shakespeare(data_dir):
    parts = {"train": "train", "validation": "train", "test": "test"}
    assert text_examples(data_dir, "tiny_shakespeare", splits=parts) == [{"text": "First Citizen:\nSpeak .\n\nAll:\n"}]


def test_layout_of_wiki40b_and_its_markers(data_dir):
    assert "_START_ARTICLE_\nHill" in text_examples(data_dir, "wiki40b/en")[0]["text"]
    (example,) = text_examples(data_dir, "wiki40b/en", wiki_markers="lines")
    assert example == {"text": "Hill\nName\nIts name is old.\nIts _top_ is not.\nIt is high."}
    by_id = text_examples(data_dir, "wiki40b/en", text_feature="version_id")
    assert by_id == [{"text": "7"}]


def test_several_texts_and_none_called_text(data_dir):
    with pytest.raises(DataError, match="text_feature to one of: (de, en|en, de)"):
        text_examples(data_dir, "pairs")
    assert text_examples(data_dir, "pairs", text_feature="en") == [{"text": "b"}]


@pytest.mark.parametrize("dataset", ["named", "indexed", "named:1.0.0", "imdb_reviews"])
def test_equals_what_tfds_reads(data_dir, dataset):
    import tensorflow_datasets as tfds

    source = TFDSSource(dataset=dataset, data_dir=data_dir)
    assert source.splits() == ["train", "test"]
    found = list(source.examples("train"))
    assert sorted((e["text"], e["label"]) for e in found) == sorted((t, ("neg", "pos")[n]) for t, n in FACTS)
    if dataset == "named":
        theirs = [
            row["text"].decode() for row in tfds.load("named", data_dir=data_dir, split="train").as_numpy_iterator()
        ]
        assert [e["text"] for e in found] == theirs  # one shard: the same order


def test_slices_of_splits(data_dir):
    parts = {"train": "train[:75%]", "validation": "train[75%:]", "test": None}
    source = TFDSSource(dataset="named", data_dir=data_dir, splits=parts)
    assert source.splits() == ["train", "validation"]
    train, held_out = ({e["text"] for e in source.examples(split)} for split in source.splits())
    assert len(train) == 30 and len(held_out) == 10 and not train & held_out


def test_integer_labels_without_names_and_the_only_text_feature(data_dir):
    found = list(TFDSSource(dataset="numbers", data_dir=data_dir, label_feature="stars").examples("train"))
    assert {e["label"] for e in found} == {"3", "4"}
    without = TFDSSource(dataset="numbers", data_dir=data_dir, label_feature=None)
    assert set(next(without.examples("train"))) == {"text"}


def test_reading_does_not_run_tensorflow(data_dir):
    code = (
        "import sys; from nlp_suite.data.sources.tfds import TFDSSource\n"
        f"source = TFDSSource(dataset='named', data_dir={str(data_dir)!r})\n"
        "print(len(list(source.examples('train'))), 'tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["40", "False"], done.stderr


def test_secret_labels_are_refused(data_dir):
    source = TFDSSource(dataset="secret", data_dir=data_dir, text_feature="text")
    with pytest.raises(DataError, match=r"label is -1.*train, test"):
        next(source.examples("train"))
    source = TFDSSource(dataset="glue/sst2", data_dir=data_dir)
    with pytest.raises(DataError, match=r"'glue/sst2', split 'test', example 0: .* set splits\.test"):
        next(source.examples("test"))
    source = TFDSSource(dataset="glue/sst2", data_dir=data_dir, label_feature=None)
    assert next(source.examples("train"))["text"].startswith("text ")


def test_invalid_utf8(data_dir):
    with pytest.raises(DataError, match=r"'binary', split 'train', example 0: invalid UTF-8"):
        next(TFDSSource(dataset="binary", data_dir=data_dir).examples("train"))
    source = TFDSSource(dataset="binary", data_dir=data_dir, on_error="replace")
    assert next(source.examples("train")) == {"text": "caf\ufffd", "label": "x"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "named", "splits": {"test": "tets"}}, r"splits\.test: unknown split 'tets': did you mean 'test'"),
        ({"dataset": "named", "splits": {"test": "test[:x]"}}, r"splits\.test: 'test\[:x\]'"),
        ({"dataset": "named", "splits": {"train": None, "test": None}}, "no split is given"),
        ({"dataset": "named", "text_feature": "txt"}, "did you mean 'text'"),
        ({"dataset": "named", "text_feature": "label"}, "no text"),
        ({"dataset": "secret"}, "text_feature to one of: (text, other|other, text)"),
        ({"dataset": "numbers"}, "label_feature: unknown feature 'label'"),
        ({"dataset": "numbers", "label_feature": "vector"}, "no label"),
        ({"dataset": "imdb_review"}, "did you mean 'imdb_reviews'"),
        ({"dataset": "ag_news_subset", "download": False}, "download is false.*data.source=files"),
    ],
)
def test_wrong_settings(data_dir, settings, message):
    with pytest.raises(DataError, match=message):
        TFDSSource(data_dir=data_dir, **settings)


def test_failed_download_names_the_folder_at_once(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # refuses every connection, with network or without
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    start = time.monotonic()
    with pytest.raises(DataError) as caught:
        TFDSSource(data_dir=tmp_path)
    assert time.monotonic() - start < 60  # TFDS alone takes 204 s
    assert str(tmp_path) in str(caught.value) and "data.source=files" in str(caught.value)


def test_cut_record_file(data_dir, tmp_path):
    (whole,) = (data_dir / "named" / "1.0.0").glob("*train*")
    assert len(list(tfrecords(whole))) == 40
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-3])
    with pytest.raises(DataError, match="cut: the file ends within record 39"):
        list(tfrecords(tmp_path / "cut"))


def test_fingerprint(data_dir):
    before = TFDSSource(dataset="named", data_dir=data_dir).fingerprint()
    assert TFDSSource(dataset="named", data_dir=data_dir).fingerprint() == before
    assert TFDSSource(dataset="named", data_dir=data_dir, splits={"train": "train[:50%]"}).fingerprint() != before
