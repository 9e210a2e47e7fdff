"""TFDS: a data set written by TFDS itself is read as TFDS reads it, and missing data are refused at once."""

import subprocess
import sys
import time

import pytest

from nlp_suite.data.sources.tfds import TFDSSource, tfrecords
from nlp_suite.errors import DataError

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
    three = dict.fromkeys(("de", "en", "fr"), text)
    store("triples", {**three, "id": tf.int32}, [{"de": "a", "en": "b", "fr": "c", "id": 1}])
    translations = [{"de": f"Straße {i} ", "en": f"street {i} "} for i in range(10)]
    for name, config, version, languages in (
        ("wmt14_translate", "de-en", "1.0.0", ("de", "en")),
        ("ted_hrlr_translate", "ru_to_en", "1.0.0", ("ru", "en")),
        ("opus", "medical", "0.1.0", ("de", "en")),
    ):
        rows = [dict(zip(languages, row.values(), strict=True)) for row in translations]
        store(name, tfds.features.Translation(languages), rows, version, config=config)
    _nested_pairs()(data_dir=folder).download_and_prepare()
    return folder


def _nested_pairs():
    """A data set whose languages stand within one feature, and that names no supervised keys."""
    import tensorflow_datasets as tfds

    class NestedPairs(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            both = tfds.features.Translation(("de", "en"))
            features = {
                "translation": both,
                "draft": tfds.features.Translation(("de", "fr")),
                "id": tfds.features.Text(),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            yield (
                0,
                {"translation": {"de": "Größe", "en": "size"}, "draft": {"de": "Grösse", "fr": "taille"}, "id": "x"},
            )

    return NestedPairs


def pairs(folder, dataset, **settings):
    return [
        tuple(e.values())
        for e in TFDSSource(kind="pairs", dataset=dataset, data_dir=folder, **settings).examples("train")
    ]


@pytest.mark.parametrize(
    "dataset, source, target",
    [
        ("wmt14_translate/de-en", "de", "en"),
        ("ted_hrlr_translate/ru_to_en", "ru", "en"),
        ("opus/medical", "de", "en"),
    ],
)
def test_translations_go_by_the_supervised_keys_or_by_name(data_dir, dataset, source, target):
    found = pairs(data_dir, dataset)
    assert sorted(found) == [(f"Straße {i} ", f"street {i} ") for i in range(10)]
    turned = [row[::-1] for row in found]
    assert pairs(data_dir, dataset, source_language=target) == turned
    assert pairs(data_dir, dataset, target_language=source) == turned
    assert pairs(data_dir, dataset, source_language=source, target_language=target) == found
    assert set(next(TFDSSource(kind="pairs", dataset=dataset, data_dir=data_dir).examples("train"))) == {
        "source",
        "target",
    }


def test_translations_without_supervised_keys(data_dir):
    assert pairs(data_dir, "pairs", source_language="en") == [("b", "a")]
    assert pairs(data_dir, "triples", source_language="fr", target_language="de") == [("c", "a")]
    parts = {"splits": {"train": "train", "test": None}}
    languages = {"source_language": "en", "target_language": "translation/de"}
    assert pairs(data_dir, "nested_pairs", **languages, **parts) == [("size", "Größe")]
    languages = {"source_language": "fr", "target_language": "draft/de"}
    assert pairs(data_dir, "nested_pairs", **languages, **parts) == [("taille", "Grösse")]


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"dataset": "pairs"}, "'pairs': set source_language and target_language to two of: de, en"),
        ({"dataset": "triples", "source_language": "fr"}, "to two of: de, en, fr"),
        ({"dataset": "pairs", "source_language": "eng"}, "source_language: unknown language 'eng': did you mean 'en'"),
        ({"dataset": "triples", "source_language": "en", "target_language": "id"}, "unknown language 'id'"),
        ({"dataset": "pairs", "source_language": "en", "target_language": "en"}, "are the same: 'en'"),
        ({"dataset": "lm1b"}, "to two of: text"),
        (
            {"dataset": "nested_pairs", "source_language": "de", "target_language": "en", "splits": {"test": None}},
            "unknown language 'de'.*draft/de, fr, id, translation/de, en",
        ),
    ],
)
def test_wrong_languages(data_dir, settings, message):
    with pytest.raises(DataError, match=message):
        TFDSSource(kind="pairs", data_dir=data_dir, **settings)


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
    "settings, message",
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
