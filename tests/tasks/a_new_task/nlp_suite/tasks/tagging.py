"""Sequence tagging: a BIO tag for every word of a sentence, as for names of persons and places.

The whole task is this file; `tests/tasks/test_a_new_task.py` puts its folder on the Python path.
"""

import json
from pathlib import Path

import keras
import numpy as np
from keras import ops

from nlp_suite.config import ComponentSettings
from nlp_suite.data.batches import BucketedBatches
from nlp_suite.data.corpus_stats import TextCounts, figures
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import chunks
from nlp_suite.data.store import StoreWriter, TokenStore
from nlp_suite.data.tables import lengths_table
from nlp_suite.errors import ConfigError, DataError
from nlp_suite.evaluation.page import Section, Tile, table
from nlp_suite.evaluation.report import ReportView
from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import Signatures, fill_empty_batch, first_rows
from nlp_suite.predictor import Predictor
from nlp_suite.registry import BACKBONES, CORPUS_KINDS, TASKS
from nlp_suite.task import Assets, Batches, Task
from nlp_suite.tasks.shared.compiled import compiled
from nlp_suite.tasks.shared.request_checks import as_bytes


def encode_words(text, sentences):
    """Token ids of sentences `[N]`, one a word: int32 `[W_i]` each; a sentence without words is one empty word."""
    words = [sentence.split() or [""] for sentence in sentences]
    rows = text.encode([word for sentence in words for word in sentence])
    first = iter(np.array([row[0] for row in rows], "int32"))
    return [np.array([next(first) for _ in sentence], "int32") for sentence in words]


# ---- data


class TaggedStore:
    """A token store of words, and one of their tags."""

    def __init__(self, directory: Path):
        self.words, self.tags = TokenStore(directory / "words"), TokenStore(directory / "tags")
        self.lengths, self.full_lengths = self.words.lengths, self.words.full_lengths

    def __len__(self):
        return len(self.words)


@CORPUS_KINDS.register(name="tagged")
class TaggedKind(CorpusKind):
    """Examples `{"text": …, "tags": …}`: words and their tags, parted by spaces."""

    fields = ("text", "tags")
    wanted = "texts with a tag for every word"
    unit = "sentences"

    def label_names(self, experiment, train):
        names = sorted({tag for example in train for tag in example["tags"].split()})
        if len(names) < 2:
            raise DataError(f"tagging needs two tags or more; the training split has {names or 'none'}")
        return names

    def write_split(self, directory, examples, split, assets):
        ids = {name: i for i, name in enumerate(assets.labels, 1)}  # 0 is padding
        directory.mkdir(parents=True)
        words = StoreWriter(directory / "words", assets.text.vocabulary_size)
        tags = StoreWriter(directory / "tags", len(ids) + 1)
        number = 0
        for chunk in chunks(examples):
            rows = encode_words(assets.text, [example["text"] for example in chunk])
            tagged = []
            for example, row in zip(chunk, rows):
                number += 1
                names = example["tags"].split()
                if len(names) != len(row) or not set(names) <= set(ids):
                    raise DataError(
                        f"{split} split, example {number}: {len(row)} words, tags {names}; known: {set(ids)}"
                    )
                tagged.append(np.array([ids[name] for name in names], "int32"))
            lengths, zeros = [len(row) for row in rows], [0] * len(rows)
            words.append(rows, lengths, zeros, [example["text"] for example in chunk])
            tags.append(tagged, lengths, zeros, [example["tags"] for example in chunk])
        words.close(split=split)
        tags.close(split=split)
        return {"sentences": number}

    def open_split(self, directory):
        return TaggedStore(directory)

    def statistics(self, store):
        return super().statistics(store.words)

    def input_texts(self, store, rows):
        return super().input_texts(store.words, rows)

    def inspect(self, examples, store_statistics=None):
        splits, shown = {}, {}
        for split, rows in examples.items():
            counts, tags = TextCounts(), {}
            for example in rows:
                counts.add(example["text"])
                shown.setdefault(split, example["text"])
                for tag in example["tags"].split():
                    tags[tag] = tags.get(tag, 0) + 1
            splits[split] = {"sentences": len(counts.words), "tags": tags, "words": figures(counts.words)}
        return {
            "kind": self.name,
            "splits": splits,
            "duplicates": {},
            "examples": shown,
            "tokens": store_statistics,
        }

    def tables(self, report):
        return [lengths_table(report, {"words": "words"})]


# ---- network


@keras.saving.register_keras_serializable("tagging")
class TaggingModel(keras.Model):
    """Token ids `[B, T]` to logits `[B, T, C + 1]`; class 0 is padding."""

    def __init__(self, backbone, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.backbone = classes, backbone
        self.classifier = keras.layers.Dense(classes + 1)

    def build(self, input_shape=None):
        self.backbone.build((None, None))
        self.classifier.build((None, None, self.backbone.output_size))
        self.built = True

    def call(self, tokens, training=None):
        return ops.cast(self.classifier(self.backbone(tokens, training=training)), "float32")

    def layer_groups(self):
        return [*self.backbone.layer_groups(), self.classifier.trainable_variables]

    def get_config(self):
        backbone = keras.saving.serialize_keras_object(self.backbone)
        return {**super().get_config(), "backbone": backbone, "classes": self.classes}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        backbone = keras.saving.deserialize_keras_object(config.pop("backbone"), custom_objects)
        return cls(backbone, **config)


# ---- report


def spans(tags):
    """Spans `(begin, end, type)` of BIO tags; an I without a B before it begins one."""
    found, begin, kind = set(), None, None
    for place, tag in enumerate([*tags, "O"]):
        continues = tag.startswith("I-") and tag[2:] == kind
        if begin is not None and not continues:
            found.add((begin, place, kind))
            begin, kind = None, None
        if tag != "O" and not continues:
            begin, kind = place, tag[2:]
    return found


def f1(hits, predicted, actual):
    """Harmonic mean of precision and recall."""
    return 2 * hits / (predicted + actual) if predicted + actual else 0.0


class TaggingView(ReportView):
    """Token and span F1."""

    curves = ("loss", "accuracy")

    def headline(self, report):
        return [
            Tile("Span F1", f"{report['span_f1']:.4f}", "exact begin, end and type"),
            Tile("Token F1", f"{report['token_f1']:.4f}", "of the tags that are not O"),
        ]

    def sections(self, report):
        rows = [[kind, f"{row['f1']:.3f}", str(row["spans"])] for kind, row in report["types"].items()]
        return [Section("Which types are found", table(["type", "F1", "spans"], rows))]

    def terminal(self, report):
        from rich.table import Table

        shown = Table("number", "value")
        for tile in self.headline(report):
            shown.add_row(tile.name, tile.value)
        return shown


# ---- prediction


class TaggingPredictor(Predictor):
    """The tags of sentences; words are parted by white space."""

    task_name = "tagging"

    def predict(self, texts):
        texts = [raw.decode("utf-8", "replace") for raw in as_bytes(texts)]
        tags = self.tags(texts) if texts else []
        return [{"words": text.split(), "tags": each[: len(text.split())]} for text, each in zip(texts, tags)]


class NetworkTagger(TaggingPredictor):
    def __init__(self, model, text, labels):
        self.model, self.text, self.labels = model, text, list(labels)
        self._logits = compiled(lambda tokens: model(tokens, training=False), model, shapes=[([None, None], "int32")])

    def tags(self, sentences):
        rows = encode_words(self.text, sentences)
        logits = ops.convert_to_numpy(self._logits(self.text.pad(rows)))  # [N, T, C + 1]
        ids = logits[:, :, 1:].argmax(axis=-1)
        return [[self.labels[i] for i in each[: len(row)]] for each, row in zip(ids, rows)]


class SavedModelTagger(TaggingPredictor):
    def __init__(self, signatures):
        self._ask = signatures

    def tags(self, sentences):
        answer = self._ask("serving_default", text=as_bytes(sentences))
        return [[tag.decode("utf-8") for tag in row[:n]] for row, n in zip(answer["tags"], answer["length"])]


class TaggingSignatures(Signatures):
    """`serving_default`: `text` string `[B]` → `tags` string `[B, W]`, `length` int32 `[B]`."""

    example = "anna lives in paris"

    def __init__(self, model, predictor):
        super().__init__(model, predictor)
        self.module.text = predictor.text.graph()

    def functions(self):
        return {"serving_default": self.traced(self.serving_default, text=([None], "string"))}

    def serving_default(self, text):
        import tensorflow as tf

        (text,), rows = fill_empty_batch(text)
        words = tf.strings.split(tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace"))
        length = tf.cast(words.row_lengths(), tf.int32)
        empty = tf.fill([tf.shape(text)[0], 1], "")
        padded = tf.concat([words.to_tensor(""), empty], axis=1)[:, : tf.maximum(tf.reduce_max(length), 1)]  # [B, W]
        tokens, _ = self.module.text.encode(tf.reshape(padded, [-1]))  # [B·W, T']
        mask = tf.sequence_mask(tf.maximum(length, 1), tf.shape(padded)[1])
        tokens = tf.where(mask, tf.reshape(tokens[:, 0], tf.shape(padded)), 0)
        ids = tf.argmax(self.model(tokens, training=False)[:, :, 1:], axis=-1)
        names = tf.constant([label.encode("utf-8") for label in self.predictor.labels])
        tags = tf.where(tf.sequence_mask(length, tf.shape(padded)[1]), tf.gather(names, ids), "")
        return first_rows({"tags": tags, "length": length}, rows)

    def cases(self, texts):
        answers = self.predictor.predict(texts)
        width = max(1, *(len(answer["tags"]) for answer in answers))
        tags = [[tag.encode("utf-8") for tag in a["tags"]] + [b""] * (width - len(a["tags"])) for a in answers]
        length = np.array([len(answer["tags"]) for answer in answers], "int32")
        return [Case("serving_default", {"text": list(texts)}, {"tags": tags, "length": length})]


# ---- the task


class TaggingSettings(ComponentSettings):
    """Settings of tagging: none."""


@TASKS.register(TaggingSettings)
class TaggingTask(Task):
    """Sequence tagging."""

    title = "sequence tagging"
    model_kind = "tagger"
    corpus_kind = "tagged"
    defaults = {"training": {"monitor": "val_accuracy"}}  # noqa: RUF012

    def check(self, experiment):
        if experiment.text.tokenizer.name != "word":
            raise ConfigError(f"text.tokenizer {experiment.text.tokenizer.name!r}: tagging reads words (allowed: word)")

    def model(self, backbone, assets):
        encoder = BACKBONES.get(backbone.name)(vocabulary_size=assets.vocabulary_size, **backbone.arguments())
        model = TaggingModel(encoder, len(assets.labels))
        model.build()
        return model

    def loss(self):
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="sum")  # see training_batches

    def metrics(self, labels):
        return [
            keras.metrics.SparseCategoricalAccuracy(name="accuracy"),
            keras.metrics.SparseCategoricalCrossentropy(name="cross_entropy", from_logits=True),
        ]

    def training_batches(self, model, stores, labels, training):
        def of(store, seed):
            batches = BucketedBatches(store.lengths, training.batch_size, training.buckets, seed)
            tokens = np.float32(np.sum(store.lengths) / batches.steps_per_epoch)  # of a batch, on average

            def batch(n):
                rows, row_weights, length = batches[n]
                tags = store.tags.padded(rows, length)
                return store.words.padded(rows, length), tags, (tags > 0) * row_weights[:, None] / tokens

            return Batches(batch, batches.steps_per_epoch, f"{len(store):,} sentences")

        return of(stores["train"], training.seed), of(stores["validation"], None)

    def measure(self, run, split, stores):
        store, tagger = stores[split], NetworkTagger(run.model(), run.text, run.labels)
        right = token_hits = token_predicted = token_actual = tokens = 0
        types = {}
        for row in range(len(store)):
            actual = store.tags.text(row).split()
            (predicted,) = tagger.tags([store.words.text(row)])
            tokens += len(actual)
            right += sum(a == p for a, p in zip(actual, predicted))
            token_hits += sum(a == p != "O" for a, p in zip(actual, predicted))
            token_predicted += sum(p != "O" for p in predicted)
            token_actual += sum(a != "O" for a in actual)
            for which, found in (("actual", spans(actual)), ("predicted", spans(predicted))):
                for span in found:
                    counts = types.setdefault(span[2], {"actual": 0, "predicted": 0, "hits": 0})
                    counts[which] += 1
                    counts["hits"] += which == "actual" and span in spans(predicted)
        total = [sum(counts[key] for counts in types.values()) for key in ("hits", "predicted", "actual")]
        return {
            "kind": "tagging",
            "sentences": len(store),
            "tokens": tokens,
            "accuracy": right / tokens,
            "token_f1": f1(token_hits, token_predicted, token_actual),
            "span_f1": f1(*total),
            "types": {
                kind: {"f1": f1(c["hits"], c["predicted"], c["actual"]), "spans": c["actual"]}
                for kind, c in sorted(types.items())
            },
        }

    def report_view(self):
        return TaggingView()

    def predictor(self, model, assets: Assets, experiment):
        return NetworkTagger(model, assets.text, assets.labels)

    def export_predictor(self, signatures):
        return SavedModelTagger(signatures)

    @classmethod
    def answer_columns(cls, labels, for_people):
        return {"tags": lambda answer: " ".join(answer["tags"]), "words": lambda answer: json.dumps(answer["words"])}

    def check_inputs(self, run, texts):
        return np.resize(
            np.concatenate(encode_words(run.text, [text.decode("utf-8", "replace") for text in texts])), (8, 8)
        )

    def signatures(self, model, predictor, xla=False):
        return TaggingSignatures(model, predictor)
