"""What a process of our own leaves out when it imports Keras."""

import subprocess
import sys

SCRIPT = """
import sys
from nlp_suite.backend import UNUSED, import_backend, own_process
own_process()
import_backend()
assert "keras" in sys.modules and "tensorflow" in sys.modules
print(*(name for name in UNUSED if name in sys.modules))
import matplotlib, sklearn  # as reports and baselines do, later
"""


def test_keras_comes_without_what_nothing_here_uses_and_that_can_be_imported_later():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
