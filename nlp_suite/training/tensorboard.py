"""What TensorBoard was told of checkpoint intervals that a resumed training repeats, taken back."""

import os
from pathlib import Path


def cut_events(directory: Path, intervals: int) -> None:
    """Leaves the events of the first checkpoint intervals, so that a resumed training records each interval once.

    Args:
        directory: where Keras's `TensorBoard` writes; need not exist.
        intervals: those that are done; Keras numbers them from 0.
    """
    for path in sorted(directory.rglob("events.out.tfevents.*")):
        kept, cut = _kept(path, intervals)
        if cut:
            _replace(path, kept)


def _kept(path: Path, intervals: int) -> tuple[list[bytes], bool]:
    """The records of a file up to the last value of an interval that is done, and whether there are others.

    What an evaluation says comes before the values of its interval, and a record that was being written is another.
    """
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    records, count, whole = [], 0, True
    try:
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            records.append(record)
            event = event_pb2.Event.FromString(record)
            of_interval = any(value.tag.startswith("epoch_") for value in event.summary.value)
            if (of_interval and event.step < intervals) or event.HasField("file_version"):
                count = len(records)
    except tf.errors.DataLossError:
        whole = False
    return records[:count], not whole or count < len(records)


def _replace(path: Path, records: list[bytes]) -> None:
    import tensorflow as tf

    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with tf.io.TFRecordWriter(str(beside)) as writer:
            for record in records:
                writer.write(record)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
