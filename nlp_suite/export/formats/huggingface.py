"""A folder in Hugging Face's layout of a classifier over a pretrained encoder, for transformers and what reads its models."""

import importlib.metadata
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.errors import ExportError
from nlp_suite.export.classifier_head import ClassifierHead
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.export.formats.huggingface_card import readme, sentence_transformers_files
from nlp_suite.export.formats.huggingface_model import (
    DoesNotFitError,
    authors_head,
    config_of,
    encoder_tensors,
    head_tensors,
    with_prefix,
)
from nlp_suite.export.model_card import model_card
from nlp_suite.export.samples import check_texts
from nlp_suite.export.self_check import check_huggingface
from nlp_suite.export.staging import check_new_folder, place_new_folder, staging
from nlp_suite.pretrained.encoder import Encoder
from nlp_suite.pretrained.families.bart import Bart
from nlp_suite.registry import EXPORTERS
from nlp_suite.text.pairs import join_pair, split_pair
from nlp_suite.text.text_layer import END, PAD
from nlp_suite.text.tokenizers.preset import PresetTokenizer
from nlp_suite.training.run import Run

READ_WITH = ("torch", "transformers")  # what the self-check needs
NEUTRAL = {"strip_html": False, "collapse_spaces": False, "invisible": "keep", "stop_words": "none"}
UNEQUAL = {"unigram": 0.25}  # kind of tokenizer → share of texts that may be cut into other, equally likely pieces
BATCH_ROWS = 8


class HuggingFaceSettings(ComponentSettings):
    """Settings of the Hugging Face format."""

    name: str = "huggingface"
    tolerance: float = Field(1e-4, gt=0, description="largest difference of features and logits in the self-check")


@EXPORTERS.register(HuggingFaceSettings)
class HuggingFaceExporter(Exporter):
    """The layout that the model's authors publish: config.json, model.safetensors, the tokenizer's files, README.md.

    `transformers.AutoModel` and `AutoTokenizer` of the folder are the encoder and the tokenizer.
    `AutoModelForSequenceClassification` is the whole classifier, temperature included, where the authors' class can
    compute it of every text: with `task.pooling: first`, and `task.hidden` for DistilBERT only. Else the classifier is in
    `head.safetensors`, with `head.py` that computes it. What is lost is said, and stands in README.md. Where pooling is one
    that sentence-transformers has, its `SentenceTransformer` of the folder gives the vectors of `nlp-suite embed`. A backbone
    `preset` starts from the folder again.

    Args:
        tolerance: largest difference of features and logits that the self-check allows, relative above 1.
    """

    for_named_tasks = True

    def __init__(self, tolerance: float = 1e-4):
        self._tolerance = tolerance

    def check(self, run: Run, to: Path) -> None:
        check_new_folder(to, "a Hugging Face model", "models/NAME")
        for part, name in (
            ("backbone", run.experiment.backbone.name),
            ("text.tokenizer", run.experiment.text.tokenizer.name),
        ):
            if name != "preset":
                raise ExportError(
                    f"{part} {name}: Hugging Face's layout is that of a pretrained model (allowed: preset)"
                )
        encoder = run.experiment.backbone.encoder
        if not isinstance(encoder, Encoder) or isinstance(encoder, Bart):
            raise ExportError(
                f"backbone preset of the model type {run.experiment.backbone.encoder.model_type}: Hugging Face's layout is written "
                "of encoders (BERT, DistilBERT, RoBERTa, XLM-RoBERTa, ALBERT)"
            )
        _save_file()

    def export(self, run: Run, to: Path) -> ExportResult:
        save_file, model = _save_file(), run.model()
        backbone, tokenizer = model.backbone, _tokenizer(run)
        encoder, head = backbone.encoder, run.task.classifier_head(run, model)
        sample = _sample(run, model, head)
        tensors = encoder_tensors(backbone, tokenizer.model_ids)
        remarks = [*_of_text(run), *head.unsaid]
        try:
            classifier = authors_head(encoder, head, _final_norm(backbone))
            tensors, held_in = {**with_prefix(tensors, encoder), **classifier}, "class"
        except DoesNotFitError as error:
            held_in = "file" if head.layers else ""
            where = "; the classifier is in head.safetensors, and head.py computes it" if held_in else ""
            remarks = list(dict.fromkeys([f"{error}{where}", *remarks]))
        config = config_of(encoder, run.text.vocabulary_size, head, held_in == "class")
        files = {
            "config.json": json.dumps(config, indent=1, ensure_ascii=False).encode(),
            **tokenizer.huggingface_files(
                run.experiment.text, encoder.special_tokens, segments=encoder.segments > 1, pairs=encoder.reads_pairs
            ),
            **sentence_transformers_files(head.pooling, encoder.features, run.experiment.text.max_length),
        }
        card = model_card(run, model, to.name)
        files["model_card.json"] = json.dumps(card, indent=1, ensure_ascii=False).encode()
        files["README.md"] = readme(
            card, held_in, remarks, "modules.json" in files, bool(run.assets.facts.get("text_pairs"))
        ).encode()
        to = to.resolve()
        with staging(to.parent) as folder:
            written = folder / "written"
            for name, content in files.items():
                (written / name).parent.mkdir(parents=True, exist_ok=True)
                (written / name).write_bytes(content)
            save_file(tensors, written / "model.safetensors", {"format": "pt"})
            if held_in == "file":
                pooling = {"format": "pt", "pooling": ",".join(head.pooling)}
                save_file(head_tensors(head), written / "head.safetensors", pooling)
                shutil.copyfile(Path(__file__).with_name("huggingface_head.py"), written / "head.py")
            report: dict[str, Any] = {"remarks": remarks, "classifier": held_in}
            if missing := [name for name in READ_WITH if not _is_installed(name)]:
                report["unchecked"] = f"{' and '.join(missing)} not installed: what would read the folder was not asked"
            else:
                report["self_check"] = check_huggingface(
                    written, sample.arrays, sample.texts, self._tolerance, held_in, UNEQUAL.get(sample.kind, 0.0)
                )
            report["bytes"] = sum(file.stat().st_size for file in written.rglob("*") if file.is_file())
            place_new_folder(written, to)
        return ExportResult(to, report=report, use=f"transformers.AutoModel.from_pretrained({str(to)!r})")


@dataclass(frozen=True)
class _Sample:
    """What the folder is asked, and what Python answers.

    Attributes:
        arrays: of N texts `ids` of the model int64 `[N, T]`, `mask`, `segments` where the model reads them, `features` float32
            `[N, T, D]`, and `logits` `[N, C]` where there is a classifier.
        texts: some of the texts, each a list of one or two, and their `ids`.
        kind: of the tokenizer.
    """

    arrays: Mapping[str, np.ndarray]
    texts: Sequence[tuple[list[str], list[int]]]
    kind: str


def _sample(run: Run, model: Any, head: ClassifierHead) -> _Sample:
    import keras

    texts, pairs = [text for text in check_texts(run) if b"\x00" not in text], bool(run.assets.facts.get("text_pairs"))
    sides = [[side.decode("utf-8", "replace") for side in (split_pair(text) if pairs else [text])] for text in texts]
    if _changed(run):
        sides = list(map(list, zip(*(run.text.normalise(side) for side in zip(*sides)))))
        texts = [(join_pair(*side) if pairs else side[0]).encode() for side in sides]
    rows, full = (run.text.encode_pairs if pairs else run.text.encode_with_lengths)(texts)
    tokens = run.text.pad(rows)  # [N, T]
    batches = [tokens[start : start + BATCH_ROWS] for start in range(0, len(tokens), BATCH_ROWS)]
    features, logits = (
        np.concatenate([keras.ops.convert_to_numpy(answer(batch)) for batch in batches])
        for answer in (model.backbone, model)
    )
    mask, is_end = tokens != PAD, tokens == END
    tokenizer = _tokenizer(run)
    ids = tokenizer.model_ids
    arrays = {"ids": ids[tokens], "mask": mask.astype(np.int64), "features": features.astype(np.float32)}
    if model.backbone.encoder.segments > 1:
        arrays["segments"] = ((np.cumsum(is_end, axis=1) > is_end) & mask).astype(np.int64)
    if head.layers:
        arrays["logits"] = (logits / head.divisor).astype(np.float32)
    cut_alike = run.experiment.text.truncation != "head_tail" and not pairs
    whole = [cut_alike or len(row) == length for row, length in zip(rows, full, strict=True)]
    compared = [
        (side, ids[row].tolist())
        for side, row, use in zip(sides, rows, whole, strict=True)
        if use and side[1:] != [""]  # which transformers takes for a single text
    ]
    return _Sample(arrays, compared, tokenizer.kind)


def _tokenizer(run: Run) -> PresetTokenizer:
    tokenizer = run.text.tokenizer
    assert isinstance(tokenizer, PresetTokenizer)  # `check` has seen to that
    return tokenizer


def _changed(run: Run) -> list[str]:
    """The text settings by which a text is changed before the tokenizer reads it."""
    return [key for key, value in NEUTRAL.items() if getattr(run.experiment.text, key) != value]


def _of_text(run: Run) -> list[str]:
    """Sentences on what the tokenizer's files do not say."""
    text, remarks = run.experiment.text, []
    if changed := _changed(run):
        keys = ", ".join(f"text.{key}" for key in changed)
        remarks.append(
            f"{keys}: no part of the tokenizer's files; give texts that are already as these settings make them"
        )
    if text.truncation == "head_tail":
        remarks.append(f"of more than {text.max_length} tokens the first are read, not the first and the last")
    return remarks


def _final_norm(backbone: Any) -> tuple[np.ndarray, np.ndarray]:
    """Scale and offset of the layer norm at the end of the last block."""
    import keras

    norm = backbone.modules()[f"block {backbone.encoder.block_order[-1]} norm"]
    scale, offset = (keras.ops.convert_to_numpy(weight) for weight in norm.weights)
    return scale, offset


def _is_installed(package: str) -> bool:
    try:
        return bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def _save_file() -> Any:
    try:
        from safetensors.numpy import save_file
    except ImportError:
        raise ExportError(
            "the package safetensors, which writes the weights, is missing: pip install 'nlp-suite[presets]'"
        ) from None
    return save_file
