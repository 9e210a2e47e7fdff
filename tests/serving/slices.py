"""Whether a large request, which runs in slices, is answered as all rows at once are."""

import numpy as np

from nlp_suite.serving.run_queue import RunQueue
from nlp_suite.serving.servable import Servable, SessionSettings

TEXTS = [b"a good film", b"", b"not bad at all , but long and slow", b"bad", b"good good", b"the end"]


def assert_slices_answer_as_all_rows(path, signature):
    """Of a signature that takes one text a row; `path` is a version folder."""
    queue = RunQueue()
    model = Servable("m", 1, path, SessionSettings(queue=queue))
    outputs = list(model.signatures[signature].outputs)
    (alias,) = model.signatures[signature].inputs
    whole = model.run(signature, {alias: np.array(TEXTS, object)}, outputs)
    queue.max_rows = 2
    cut = model.run(signature, {alias: np.array(TEXTS, object)}, outputs)
    model.close()
    for alias, array in whole.items():
        if array.dtype == object:
            assert cut[alias].tolist() == array.tolist(), alias
        else:
            np.testing.assert_allclose(cut[alias], array, rtol=1e-5, atol=1e-6, err_msg=alias)
