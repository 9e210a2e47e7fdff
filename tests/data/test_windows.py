"""Windows of running text: every token predicted once, documents kept apart, batches a pure function of their number."""

import numpy as np
import pytest

from nlp_suite.data.windows import ShuffledWindows, SlidingWindows, Streams, WholeDocuments, window_arrays

END = 3
CORPORA = {
    "one document": [101],
    "one short document": [3],
    "many short documents": [3, 1, 7, 2, 5, 4, 1, 1, 6, 9, 2, 3, 8] * 3,
    "long and short": [60, 2, 1, 95, 7],
    "one token": [1],
}
WAYS = {
    "stream": lambda documents, rows: Streams(documents, rows, 7),
    "sliding": lambda documents, rows: SlidingWindows(documents, rows, 7, 3),
    "sliding without context": lambda documents, rows: SlidingWindows(documents, rows, 7, 0),
    "sliding by one": lambda documents, rows: SlidingWindows(documents, rows, 7, 6),
    "documents": lambda documents, rows: WholeDocuments(documents, rows, 7, 3, None),
    "shuffled documents": lambda documents, rows: WholeDocuments(documents, rows, 7, 3, 5),
    "shuffled": lambda documents, rows: ShuffledWindows(documents, rows, 7, 5),
}


def corpus(lengths):
    """Tokens, all different and far from END, and where documents begin."""
    documents = np.concatenate([[0], np.cumsum(lengths)])
    return (np.arange(documents[-1]) + 100).astype("uint16"), documents


def epoch(tokens, windows, start=0):
    return [window_arrays(tokens, windows[start + n], END) for n in range(windows.steps_per_epoch)]


def predicted(batches):
    """All targets that count."""
    return np.concatenate([batch["targets"][batch["weights"] > 0] for batch in batches])


@pytest.mark.parametrize("rows", [1, 3, 20])
@pytest.mark.parametrize("lengths", CORPORA.values(), ids=CORPORA)
@pytest.mark.parametrize("way", [way for way in WAYS if way != "shuffled"])
def test_every_token_is_predicted_once_after_the_token_before_it(way, lengths, rows):
    tokens, documents = corpus(lengths)
    batches = epoch(tokens, WAYS[way](documents, rows))
    assert sorted(predicted(batches).tolist()) == tokens.tolist()
    begins = set((documents[:-1] + 100).tolist())
    for batch in batches:
        assert batch["tokens"].shape == batch["targets"].shape == batch["weights"].shape
        assert len(batch["tokens"]) == len(batch["reset"]) == rows
        assert batch["tokens"].dtype == batch["targets"].dtype == np.int32 and batch["reset"].dtype == bool
        read = batch["targets"] > 0
        for before, target in zip(batch["tokens"][read], batch["targets"][read]):
            assert before == (END if target in begins else target - 1)
        assert not batch["tokens"][~read].any() and not batch["weights"][~read].any()
        assert (np.diff(read.astype(int), axis=1) <= 0).all(), "padding stands on the right"
        inside = np.isin(batch["targets"][:, 1:], list(begins))
        assert not inside.any(), "a document begins at the start of a window"


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("lengths", CORPORA.values(), ids=CORPORA)
def test_streams_go_on_from_batch_to_batch_and_start_anew_with_a_document_or_a_part(lengths, seed):
    tokens, documents = corpus(lengths)
    rows = 3
    windows = Streams(documents, rows, 7, seed)
    cuts = tokens[-1] - 99  # tokens in all
    parts = {100 + int(cuts) * row // rows for row in range(rows)}
    begins = set((documents[:-1] + 100).tolist()) | parts
    last = [None] * rows
    for number in range(3 * windows.steps_per_epoch):
        batch = window_arrays(tokens, windows[number], END)
        for row in range(rows):
            targets = batch["targets"][row][batch["weights"][row] > 0]
            if not len(targets):
                continue
            if batch["reset"][row]:
                assert targets[0] in begins
            else:
                assert targets[0] == last[row] + 1 and targets[0] not in begins
            assert targets.tolist() == list(range(targets[0], targets[0] + len(targets)))
            last[row] = targets[-1]


def test_an_epoch_of_streams_begins_anew():
    tokens, documents = corpus([40, 61])
    windows = Streams(documents, 4, 7)
    first, second = epoch(tokens, windows), epoch(tokens, windows, windows.steps_per_epoch)
    assert first[0]["reset"].all() and second[0]["reset"].all()
    for one, other in zip(first, second):
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_random_lengths_are_at_most_8_near_the_window_and_new_every_epoch():
    tokens, documents = corpus([30_000])
    windows = Streams(documents, 2, 70, seed=3)
    count = windows.steps_per_epoch
    lengths = [[windows[n].length for n in range(count * e, count * (e + 1))] for e in range(3)]
    assert lengths[0] != lengths[1] != lengths[2]
    seen = {length for one in lengths for length in one}
    assert seen <= set(windows.bounds) and len(windows.bounds) <= 8
    near = np.mean([abs(length - 70) <= 10 for one in lengths for length in one])
    assert 0.9 < near < 1 and min(seen) < 45, "mostly near the window, one in twenty near its half"
    other = Streams(documents, 2, 70, seed=4)
    assert [other[n].length for n in range(count)] != lengths[0]
    taken = predicted(epoch(tokens, windows))
    assert len(np.unique(taken)) > 0.9 * len(tokens)


def test_random_lengths_of_a_small_window_are_at_least_one_token():
    _, documents = corpus([50])
    windows = Streams(documents, 2, 2, seed=1)
    assert min(windows.bounds) >= 1 and all(windows[n].length >= 1 for n in range(40))


SEEDED = {
    "stream": lambda documents: Streams(documents, 3, 7, 5),
    "shuffled": lambda documents: ShuffledWindows(documents, 3, 7, 5),
    "documents": lambda documents: WholeDocuments(documents, 3, 7, 3, 5),
}


@pytest.mark.parametrize("make", SEEDED.values(), ids=SEEDED)
def test_a_batch_follows_from_seed_and_number_alone(make):
    tokens, documents = corpus([60, 2, 1, 95, 7] * 2)
    numbers = np.arange(4 * make(documents).steps_per_epoch)
    in_order, shuffled = make(documents), make(documents)
    batches = {n: window_arrays(tokens, in_order[n], END) for n in numbers}
    for n in np.random.default_rng(0).permutation(numbers):
        again = window_arrays(tokens, shuffled[n], END)
        fresh = window_arrays(tokens, make(documents)[n], END)
        for name, values in batches[n].items():
            np.testing.assert_array_equal(again[name], values)
            np.testing.assert_array_equal(fresh[name], values)


def test_shuffled_windows_hold_the_whole_text_in_a_new_order_and_cut_it_elsewhere_every_epoch():
    tokens, documents = corpus([101, 30, 2])
    windows = ShuffledWindows(documents, 4, 7, 5)
    first = epoch(tokens, windows)
    assert set(predicted(first).tolist()) == set(tokens.tolist())
    begins = []
    for number in range(4):
        batches = epoch(tokens, windows, number * windows.steps_per_epoch)
        assert all(batch["reset"].all() for batch in batches), "no state is carried"
        begins.append(np.concatenate([batch["targets"][:, 0] for batch in batches]))
    assert (np.diff(begins[0]) < 0).any(), "shuffled"
    assert len({frozenset(begin.tolist()) for begin in begins}) > 1, "cut at other places"


def test_sliding_windows_read_context_and_predict_what_follows():
    tokens, documents = corpus([12])
    batches = epoch(tokens, SlidingWindows(documents, 1, 5, 3))
    assert [(b["targets"][0] - 100)[b["targets"][0] > 0].tolist() for b in batches] == [
        [0, 1, 2, 3, 4],
        [2, 3, 4, 5, 6],
        [4, 5, 6, 7, 8],
        [6, 7, 8, 9, 10],
        [8, 9, 10, 11],
    ]
    assert [int(b["weights"].sum()) for b in batches] == [5, 2, 2, 2, 1]
    assert batches[0]["tokens"][0, 0] == END and batches[1]["tokens"][0, 0] == 101


def test_a_window_with_context_begins_as_a_document_does_where_all_texts_do():
    tokens, documents = corpus([12, 3])
    plain, started = (epoch(tokens, SlidingWindows(documents, 2, 5, 2, always)) for always in (False, True))
    changed = 0
    for before, after in zip(plain, started, strict=True):
        with_context = (before["weights"][:, 0] == 0) & (before["targets"][:, 0] > 0)
        assert (after["tokens"][with_context, 0] == END).all() and (before["tokens"][with_context, 0] > END).all()
        changed += with_context.sum()
        after["tokens"][:, 0] = before["tokens"][:, 0]
        for name, values in before.items():
            np.testing.assert_array_equal(after[name], values)
    assert changed == 3
    whole = epoch(tokens, SlidingWindows(documents, 2, 5, 0, True))
    assert all((batch["tokens"][:, 0] > END).any() for batch in whole[1:]), "nothing is predicted from the start alone"


ALWAYS_STARTED = {
    "documents": lambda documents: WholeDocuments(documents, 3, 7, 3, 5, True),
    "shuffled": lambda documents: ShuffledWindows(documents, 3, 7, 5, True),
    "shuffled by one": lambda documents: ShuffledWindows(documents, 3, 2, 5, True),
}


@pytest.mark.parametrize("lengths", CORPORA.values(), ids=CORPORA)
@pytest.mark.parametrize("make", ALWAYS_STARTED.values(), ids=ALWAYS_STARTED)
def test_a_window_of_training_begins_as_a_document_does_where_all_texts_do(make, lengths):
    tokens, documents = corpus(lengths)
    windows, begins = make(documents), set((documents[:-1] + 100).tolist())
    for number in range(3):  # epochs, of which the later ones are cut elsewhere
        batches = epoch(tokens, windows, number * windows.steps_per_epoch)
        for batch in batches:
            read, counted = batch["targets"] > 0, batch["weights"] > 0
            assert (batch["tokens"][read[:, 0], 0] == END).all()
            assert (batch["tokens"][:, 1:][read[:, 1:]] == batch["targets"][:, 1:][read[:, 1:]] - 1).all()
            assert (counted[:, 1:] == read[:, 1:]).all()
            assert begins.issuperset(batch["targets"][counted[:, 0], 0].tolist()), "nothing else comes right after it"
        if not number:
            assert set(predicted(batches).tolist()) == set(tokens.tolist())


def test_a_document_as_long_as_a_piece_is_one_piece():
    _, documents = corpus([7, 7, 8])
    windows = WholeDocuments(documents, 1, 7, 1, None, True)
    assert [windows[n].count.tolist() for n in range(windows.steps_per_epoch)] == [[7], [7], [7], [2]]
    assert [windows[n].context.tolist() for n in range(windows.steps_per_epoch)] == [[0], [0], [0], [1]]


def test_documents_of_like_length_share_a_batch_and_long_ones_are_cut():
    _, documents = corpus([2] * 10 + [6] * 10 + [15])
    windows = WholeDocuments(documents, 5, 7, 2, None)
    assert list(windows.bounds) == [2, 7]
    assert max(windows[n].count.max() for n in range(windows.steps_per_epoch)) == 7
    assert 0 <= windows.padding < 0.3


def test_padding_is_the_part_of_places_without_a_token():
    tokens, documents = corpus([3, 1, 7, 2, 5] * 3)
    for windows in (Streams(documents, 2, 4), WholeDocuments(documents, 1, 4, 3, None)):
        batches = epoch(tokens, windows)
        places = sum(batch["weights"].size for batch in batches)
        assert windows.padding == pytest.approx(1 - len(tokens) / places)


def test_a_store_that_begins_elsewhere_is_read_from_there():
    tokens, _ = corpus([50])
    documents = np.array([10, 20, 41])
    for windows in (
        Streams(documents, 3, 4),
        SlidingWindows(documents, 3, 4, 1),
        WholeDocuments(documents, 3, 4, 2, 1),
    ):
        assert sorted(predicted(epoch(tokens, windows)).tolist()) == list(range(110, 141))
