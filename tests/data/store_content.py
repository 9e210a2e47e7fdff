"""What is read of a prepared split, to compare two."""

import numpy as np

from nlp_suite.data.store import TokenStore


def content(store):
    """All that is read of a token store, or of the two of pairs."""
    if not isinstance(store, TokenStore):
        return {side: content(getattr(store, side)) for side in ("source", "target")}
    flat, rows = store.flat(), range(len(store))
    facts = {name: value for name, value in store.meta.items() if name not in ("files", "parts")}
    columns = [store.labels.tolist(), store.full_lengths.tolist(), store.lengths.tolist(), np.asarray(flat).tolist()]
    assert [tokens.tolist() for tokens in store] == [flat[a:b].tolist() for a, b in bounds(store.lengths)]
    return {**facts, "columns": columns, "texts": [store.text(row) for row in rows], "dtype": str(flat[:1].dtype)}


def bounds(lengths):
    ends = np.cumsum(lengths)
    return zip(ends - lengths, ends)
