"""What `nlp-suite init` chooses for a classifier: short rules on what was seen, each with its reason.

| what was seen | what follows |
|---|---|
| anything | a bag of words and pairs of words, weighted by what their counts tell: best or near it on every set tried, in seconds |
| a fifth of the texts or more in scripts without spaces | sub-words in place of words |
| lengths | whole texts where none has more than 1,000 words and marks, else 99 % of them; longer ones lose their middle |
| several scripts or languages, or many words seen once | a larger vocabulary, down to words that occur once |
| number of labels | features: 16, or as many as there are labels |
| number of rows | epochs, batch size and dropout: small tables are read more often, in smaller batches |
| a label five times rarer than the most frequent one | the loss weighs labels by their rarity, macro F1 chooses the epoch |
"""

from nlp_suite.data.init.seen import Choice, Recipe, Seen, TextsSeen

UNSPACED = 0.2  # share of texts in scripts without spaces from which words are no unit
RARE = 5  # the most frequent label has so many times the rows of the rarest
WHOLE, MAX_TOKENS = 1000, 4000  # texts as long are read whole; none is read farther
SUB_WORDS = 2  # of a character or word, where those are the tokens, at most


def classification_recipe(seen: Seen) -> Recipe:
    """Sections `task`, `text`, `backbone` and `training` for labelled texts.

    Args:
        seen: texts in the field `text`, with labels.
    """
    texts = seen.texts["text"]
    return {
        "task": {"pooling": Choice(["mean"], "the bag is one vector already")},
        "text": {**_tokenizer(texts), **_length(texts)},
        "backbone": _bag(seen),
        "training": _training(seen),
    }


def _tokenizer(texts: TextsSeen) -> dict[str, Choice]:
    if texts.unspaced >= UNSPACED:
        reason = f"{texts.unspaced:.0%} of the texts are in scripts without spaces between words"
        return {"tokenizer": Choice({"name": "sentencepiece", "vocabulary_size": 16_000}, reason)}
    if texts.tokens < 500_000:
        return {
            "tokenizer": Choice(
                {"name": "word", "vocabulary_size": 60_000, "min_count": 1}, "little text: every word counts"
            )
        }
    return {"tokenizer": Choice({"name": "word", "vocabulary_size": 60_000}, f"about {texts.tokens:,} words and marks")}


def _length(texts: TextsSeen) -> dict[str, Choice]:
    figures, pieces = texts.lengths["tokens"], SUB_WORDS if texts.unspaced >= UNSPACED else 1
    if pieces * figures["max"] <= WHOLE:
        length, reason = pieces * figures["max"], f"the longest of the texts has {figures['max']:,.0f} words and marks"
    else:
        length = max(WHOLE, min(MAX_TOKENS, pieces * figures["p99"]))
        reason = f"99 % of the texts have {figures['p99']:,.0f} words and marks or fewer"
    return {
        "max_length": Choice(max(32, _rounded_up(length)), reason),
        "truncation": Choice("head_tail", "a longer text keeps beginning and end"),
    }


def _bag(seen: Seen) -> dict[str, Choice]:
    classes = len(seen.train_labels)
    return {
        "name": Choice("bag", "words and pairs of words, averaged"),
        "embedding_size": Choice(max(16, classes), f"{classes} labels"),
        "ngrams": Choice(2, "pairs tell 'not good' from 'good'"),
        "ngram_buckets": Choice(2**20 if seen.train_rows > 5000 else 2**18, f"{seen.train_rows:,} rows"),
        "average": Choice("l2", "every text has length 1, however long it is"),
        "naive_bayes": Choice(True, "what tells nothing stays quiet"),
        "dropout": Choice(
            0.5 if seen.train_rows < 10_000 else 0.2,
            f"{seen.train_rows:,} rows: {'much' if seen.train_rows < 10_000 else 'some'} regularisation",
        ),
    }


def _training(seen: Seen) -> dict[str, Choice]:
    rows = seen.train_rows
    epochs = max(3, min(12, round(100_000 / rows)))
    most, least = max(seen.train_labels.values()), min(seen.train_labels.values())
    choices = {
        "epochs": Choice(epochs, f"{rows:,} rows"),
        "batch_size": Choice(32 if rows < 10_000 else 128, f"{rows:,} rows"),
        "learning_rate": Choice(0.01, "Adam; a bag likes it high"),
        "monitor": Choice("val_loss", "chooses the epoch"),
        "patience": Choice(3, "stops when three epochs were no better"),
    }
    if most >= RARE * least:
        reason = f"the most frequent label has {most:,} rows, the rarest {least:,}"
        choices |= {
            "class_weights": Choice("balanced", reason),
            "monitor": Choice("val_macro_f1", "rare labels count as much as frequent ones"),
        }
    return choices


def _rounded_up(length: float) -> int:
    """To the next number of two digits and zeros, as 230 or 1,500."""
    step = 10 ** max(1, len(str(int(length))) - 2)
    return int(-(-length // step) * step)
