"""What a trained model becomes outside this package: a SavedModel for TF Serving, or a `.keras` file.

`run_export` turns a run folder into an export; `load` opens either again for prediction. Importing this package loads
neither TensorFlow nor Keras.
"""

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import ExportResult
from nlp_suite.export.run_export import run_export

__all__ = ["ExportError", "ExportResult", "run_export"]
