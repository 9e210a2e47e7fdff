"""Any TensorFlow Datasets (TFDS) data set with a text, such as imdb_reviews, lm1b or wmt14_translate/de-en."""

import difflib
import functools
import itertools
import operator
import os
import re
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from nlp_suite.config import ComponentSettings, Settings
from nlp_suite.data.selection import Example
from nlp_suite.data.sources import tfds_download
from nlp_suite.data.sources.base import SPLITS, PathText, Source
from nlp_suite.data.sources.tfds_languages import FeaturePath, language_pair
from nlp_suite.errors import DataError
from nlp_suite.native_output import suppress_native_log
from nlp_suite.registry import SOURCES, unknown

WIKI_MARKER = re.compile("\n*_START_(?:ARTICLE|SECTION|PARAGRAPH)_\n*|_NEWLINE_")
OTHERWISE = "read the data from files: --set data.source=files --set data.source.train=PATH --set data.source.test=PATH"


class SplitNames(Settings):
    """The data set's name, or slice, of each of our splits; null: there is none."""

    train: str | None = "train"
    validation: str | None = None
    test: str | None = "test"


class TFDSSettings(ComponentSettings):
    """Which data set, and which of its features."""

    name: str = "tfds"
    dataset: str = Field("imdb_reviews", min_length=1, description="TFDS name, as name, name/config or name:version")
    data_dir: PathText | None = Field(None, description="folder of prepared data sets; default: that of TFDS")
    text_feature: str | None = Field(None, description="default: the only string feature, or for running text 'text'")
    label_feature: str | None = Field(
        "label", description="null: texts without labels; not read where the task needs none"
    )
    source_language: str | None = Field(
        None, min_length=1, description="of pairs: feature of the source, such as en; default: the first supervised key"
    )
    target_language: str | None = Field(
        None, min_length=1, description="of pairs: feature of the translation; default: the second supervised key"
    )
    wiki_markers: Literal["keep", "lines"] = Field(
        "keep", description="lines: _START_PARAGRAPH_ and the other markers of wiki40b become line breaks"
    )
    splits: SplitNames = Field(SplitNames(), description='such as {train: "train[:90%]", validation: "train[90%:]"}')
    download: bool = Field(True, description="try once to download and prepare data that are not in data_dir")


@SOURCES.register(TFDSSettings)
class TFDSSource(Source):
    """Examples of a TFDS data set that is on disk, or that one attempt brings there.

    Records are read with TFDS's own splits and features but without running TensorFlow, which would take hold of the
    memory of every GPU. Integer labels become the names that the data set has for them. For running text every example is
    a document and `label_feature` is not read. For pairs only the two languages are: features by name, or within a
    `Translation` feature; where one is given, the other is the other one of the supervised keys.

    Args:
        **arguments: see `Source`; the settings are those of `TFDSSettings`.

    Raises:
        DataError: an unknown data set, split or feature; data that are neither in `data_dir` nor to be had; a split
            without labels, such as the test split of GLUE.

    Example:
        >>> source = TFDSSource(dataset="glue/sst2", splits={"train": "train", "test": "validation"})
        >>> next(source.examples("test"))
        {'text': 'a gorgeous , witty , seductive movie .', 'label': 'positive'}
    """

    Settings = TFDSSettings
    reads = "TensorFlow Datasets"
    field_sets = (("text", "label"), ("source", "target"))
    settings: TFDSSettings

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self._builder = self._prepared()
        names = self.settings.splits.model_dump()
        self._slices = {split: names[split] for split in SPLITS if names[split]}
        if not self._slices:
            raise DataError(f"{self._where}: no split is given: set splits.train, splits.validation or splits.test")
        for split in self._slices:
            self._split_info(split)
        self._paths = self._languages() if "source" in self.kind.fields else self._text_and_label()

    @property
    def _where(self) -> str:
        return f"TFDS data set {self.settings.dataset!r}"

    def _prepared(self) -> Any:
        """The TFDS builder of data that are on disk."""
        with suppress_native_log():
            import tensorflow_datasets as tfds

        data_dir = self.settings.data_dir and os.path.expanduser(self.settings.data_dir)
        if data_dir and "://" in data_dir:
            raise DataError(f"{self._where}: data_dir must be a local folder, got {data_dir}")
        try:
            builder = tfds.builder(self.settings.dataset, data_dir=data_dir)
        except tfds.core.registered.DatasetNotFoundError:
            name = self.settings.dataset.split("/")[0].split(":")[0]
            near = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            where = data_dir or tfds.core.constants.DATA_DIR
            raise DataError(f"{self._where} is not known to TFDS{hint} and not in the folder {where}") from None
        except (ValueError, AssertionError, RuntimeError, ImportError) as error:
            raise DataError(f"{self._where}: {str(error).strip()}") from None
        if builder.is_prepared():
            return builder
        if not self.settings.download:
            raise DataError(f"{self._where} is not in {builder.data_path}, and download is false; {OTHERWISE}")
        reason = _download(self.settings.dataset, data_dir)
        builder = tfds.builder(self.settings.dataset, data_dir=data_dir)
        if reason or not builder.is_prepared():
            raise DataError(
                f"{self._where} is not in {builder.data_path}, and downloading it failed ({reason}); prepare it there "
                f"on a machine with network, set data.source.data_dir, or {OTHERWISE}"
            )
        return builder

    def _split_info(self, split: str) -> Any:
        """TFDS's description of one of our splits: the files and which of their records."""
        slice_, known = self._slices[split], list(self._builder.info.splits)
        try:
            return self._builder.info.splits[slice_]
        except (KeyError, ValueError, AssertionError) as error:
            name = slice_.split("[")[0]
            if name not in known:
                raise DataError(f"{self._where}: splits.{split}: {unknown('split', name, known)}") from None
            raise DataError(f"{self._where}: splits.{split}: {slice_!r} is no slice of {name!r}: {error}") from None

    def _named_features(self) -> Any:
        """The data set's features, a mapping."""
        features = self._builder.info.features
        if not hasattr(features, "keys"):
            raise DataError(f"{self._where} has examples without named features: {features}")
        return features

    def _languages(self) -> Mapping[str, FeaturePath]:
        """Where a record has source and target."""
        features, s = self._named_features(), self.settings
        supervised = self._builder.info.supervised_keys
        pair = language_pair(self._where, features, supervised, s.source_language, s.target_language)
        return dict(zip(("source", "target"), pair, strict=True))

    def _text_and_label(self) -> Mapping[str, FeaturePath]:
        """Where a record has the text and, if it is read, the label."""
        import numpy as np

        features = self._named_features()

        def scalar(name: str, *kinds: type) -> bool:
            feature = features[name]
            return getattr(feature, "shape", None) == () and any(
                np.issubdtype(feature.np_dtype, kind) for kind in kinds
            )

        labelled = "label" in self.kind.fields
        text, label = self.settings.text_feature, self.settings.label_feature if labelled else None
        strings = [name for name in features if scalar(name, np.object_, np.str_, np.bytes_)]
        if text is None:
            candidates = [name for name in strings if name != label]
            if not labelled and "text" in candidates:
                candidates = ["text"]
            if len(candidates) != 1:
                raise DataError(
                    f"{self._where}: set text_feature to one of: {', '.join(candidates) or 'none is a text'}"
                )
            text = candidates[0]
        for setting, name in (("text_feature", text), ("label_feature", label)):
            if name is not None and name not in features:
                raise DataError(f"{self._where}: {setting}: {unknown('feature', name, features)}")
        if text not in strings:
            raise DataError(f"{self._where}: feature {text!r} is no text but {features[text]}")
        if label is not None and label not in strings and not scalar(label, np.number, np.bool_):
            raise DataError(f"{self._where}: feature {label!r} is no label but {features[label]}")
        return {"text": (text,)} if label is None else {"text": (text,), "label": (label,)}

    def splits(self) -> list[str]:
        return list(self._slices)

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        for number, record in enumerate(self._records(split)):
            example = {}
            for field, path in self._paths.items():
                value: Any = functools.reduce(operator.getitem, path, record)
                example[field] = (self._label if field == "label" else self._string)(value, split, number)
            if self.settings.wiki_markers == "lines" and "text" in example:
                example["text"] = WIKI_MARKER.sub("\n", example["text"]).strip("\n")
            yield example

    def share_read(self, split: str) -> Callable[[int], float]:
        count = self._split_info(split).num_examples
        return lambda examples: examples / max(1, count)

    def _records(self, split: str) -> Iterator[Any]:
        """Feature name to value: bytes, int or float."""
        from tensorflow_datasets.core.file_adapters import FileFormat

        info, file_format = self._builder.info, self._builder.info.file_format
        if file_format not in (FileFormat.TFRECORD, FileFormat.ARRAY_RECORD):
            raise DataError(f"{self._where} is stored as {file_format.value}; allowed: tfrecord, array_record")
        if file_format is FileFormat.ARRAY_RECORD:
            yield from self._builder.as_data_source(self._slices[split])
            return
        for file in self._split_info(split).file_instructions:
            for record in itertools.islice(tfrecords(file.filename), file.skip, file.skip + file.take):
                yield info.features.deserialize_example_np(record)

    def _string(self, value: bytes | str, split: str, number: int) -> str:
        if isinstance(value, str):
            return value
        try:
            return value.decode("utf-8", errors="strict" if self.on_error == "fail" else "replace")
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self._where}, split {self._slices[split]!r}, example {number}: invalid UTF-8: {error}; "
                f"data.on_error=replace puts U+FFFD in its place"
            ) from None

    def _label(self, value: Any, split: str, number: int) -> str:
        if isinstance(value, (bytes, str)):
            return self._string(value, split, number)
        feature = self._builder.info.features[self.settings.label_feature]
        if not hasattr(feature, "int2str"):
            return str(value.item() if hasattr(value, "item") else value)
        if not 0 <= value < feature.num_classes:  # -1 stands for a label that is kept secret
            raise DataError(
                f"{self._where}, split {self._slices[split]!r}, example {number}: the label is {value}, but labels go "
                f"from 0 to {feature.num_classes - 1}; the split may be published without labels: set splits.{split} "
                f"to another one of {', '.join(self._builder.info.splits)}, or to null"
            )
        return str(feature.int2str(int(value)))

    def fingerprint(self) -> str:
        facts = []
        for split in self.splits():
            for file in self._split_info(split).file_instructions:
                status = Path(file.filename).stat()
                facts.append([split, file.filename, file.skip, file.take, status.st_size, status.st_mtime_ns])
        return self._hash(self._builder.info.full_name, facts)


def tfrecords(path: str) -> Iterator[bytes]:
    """Records of a TFRecord file: each is a length (8 bytes), its checksum (4), the record and its checksum (4).

    Raises:
        DataError: a file that ends within a record.
    """
    with open(path, "rb") as file:
        for number in itertools.count():
            header = file.read(12)
            if not header:
                return
            length = struct.unpack("<Q", header[:8])[0] if len(header) == 12 else 0
            record = file.read(length + 4) if length <= os.path.getsize(path) else b""
            if len(record) < length + 4:
                raise DataError(f"{path}: the file ends within record {number}; prepare the data set again")
            yield record[:length]


def _download(dataset: str, data_dir: str | None) -> str:
    """One attempt to download and prepare, in a process that sees no GPU; the reason if it failed, else ''."""
    command = [sys.executable, "-P", tfds_download.__file__, dataset, data_dir or ""]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return ""
    lines = done.stdout.strip().splitlines()
    return lines[-1] if lines else f"exit status {done.returncode}"
