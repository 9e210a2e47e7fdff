"""What is asked of a finished run before another one is made with it, of several together or of what one teaches."""

from nlp_suite.config import Experiment
from nlp_suite.errors import RunError
from nlp_suite.training.run import Run, differences

NO_MATTER = (
    "data.cache:",
    "data.deduplicate:",
)  # what of the data may differ: both leave validation and test as they are


def check_finished(run: Run, wanted: str) -> None:
    """Refuses a run that does not give a text one label, or is not finished; imports neither TensorFlow nor Keras.

    Args:
        run: the run.
        wanted: how the message begins to say what is wanted, such as `"an ensemble is made of classifiers"`.

    Raises:
        RunError: it is another one.
        DamagedFileError: its weights are missing or damaged.
    """
    task, where = run.experiment.task, str(run.directory)
    wanted = f"{wanted} that give a text one label (task: sentiment, problem: single_label)"
    if task.name != "sentiment":
        raise RunError(f"{where} is a run of task: {task.name}; {wanted}")
    if task.problem != "single_label":
        raise RunError(f"{where} is a run of problem: {task.problem}; {wanted}")
    if run.info["state"] != "finished":
        raise RunError(
            f"{where} is not finished (state: {run.info['state']}): train it to its end first, by the command that began it"
        )
    run.weights()


def data_differences(there: Experiment, here: Experiment) -> list[str]:
    """What differs in the data of two configs, as `data.a: there → here`, but for what leaves validation and test as they are."""
    lines = differences(there, here)
    return [line for line in lines if line.startswith("data.") and not line.startswith(NO_MATTER)]
