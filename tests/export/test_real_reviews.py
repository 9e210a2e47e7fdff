"""1,000 real reviews: the SavedModel's answers are Python's to 1e-5, alone and co-batched."""

import csv
import gzip
import itertools
from pathlib import Path

import numpy as np
import pytest

from nlp_suite.export import run_export
from nlp_suite.export.load import load
from tests.export.conftest import TEMPERATURE, Server, make_run

REVIEWS = Path(__file__).parents[3] / "shared" / "data" / "imdb" / "test.tsv.gz"


@pytest.mark.slow
@pytest.mark.skipif(not REVIEWS.exists(), reason="the IMDB reviews are not on this machine (shared/data/imdb)")
def test_a_thousand_reviews(tmp_path):
    with gzip.open(REVIEWS, "rt", encoding="utf-8", newline="") as file:
        rows = csv.reader(file, "excel-tab", quoting=csv.QUOTE_NONE)
        column = next(rows).index("text")
        texts = [row[column] for row in itertools.islice(rows, 1000)]
    text = {"tokenizer": {"name": "sentencepiece", "vocabulary_size": 4000}, "max_length": 300}
    backbone = {"name": "lstm", "units": 16, "embedding_size": 16}
    (tmp_path / "run").mkdir()
    run = make_run(tmp_path / "run", backbone, text=text, texts=texts[:500])
    server = Server(run_export(run, tmp_path / "m").path)
    expected = load(run).probabilities(texts)
    assert expected[:, 0].std() > 0.05 / TEMPERATURE  # random weights, but answers that differ
    batches = [texts[i : i + 50] for i in range(0, 1000, 50)]
    together = [server("serving_default", text=batch)["probabilities"] for batch in batches]
    np.testing.assert_allclose(np.concatenate(together), expected, atol=1e-5)
    alone = [server("serving_default", text=[review])["probabilities"][0] for review in texts]
    np.testing.assert_allclose(alone, expected, atol=1e-5)
