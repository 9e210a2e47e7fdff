"""The event files of a run that was killed: every interval once, whatever was written before the end."""

import pytest

from nlp_suite.training.tensorboard import cut_events


def steps_by_tag(directory):
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    found: dict = {}
    for path in sorted(directory.rglob("events.out.tfevents.*")):
        for record in tf.compat.v1.io.tf_record_iterator(str(path)):
            event = event_pb2.Event.FromString(record)
            for value in event.summary.value:
                found.setdefault(value.tag, []).append(event.step)
    return found


def write_intervals(directory, intervals):
    """What Keras's callback writes: an evaluation by the optimiser's steps, 5 an interval, then the interval's values."""
    import tensorflow as tf

    with tf.summary.create_file_writer(str(directory)).as_default():
        for n in intervals:
            tf.summary.scalar("evaluation_loss_vs_iterations", 0.5, step=5 * (n + 1))
            tf.summary.scalar("epoch_loss", 0.5, step=n)


@pytest.mark.parametrize("done", [0, 2, 3])
def test_a_resumed_training_records_every_interval_once(tmp_path, done):
    write_intervals(tmp_path / "validation", range(3))
    (file,) = (tmp_path / "validation").iterdir()
    content = file.read_bytes()
    cut_events(tmp_path, 3)
    assert file.read_bytes() == content, "where nothing is to be cut, nothing is written"
    cut_events(tmp_path, done)
    write_intervals(tmp_path / "validation", range(done, 5))
    assert steps_by_tag(tmp_path) == {
        "evaluation_loss_vs_iterations": [5, 10, 15, 20, 25],
        "epoch_loss": [0, 1, 2, 3, 4],
    }


def test_a_record_that_was_being_written_is_left_out(tmp_path):
    write_intervals(tmp_path, range(2))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-7])
    cut_events(tmp_path, 2)
    assert steps_by_tag(tmp_path) == {"evaluation_loss_vs_iterations": [5], "epoch_loss": [0]}


def test_without_a_folder_there_is_nothing_to_do(tmp_path):
    cut_events(tmp_path / "tensorboard", 1)
    assert not (tmp_path / "tensorboard").exists()
