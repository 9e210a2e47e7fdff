"""Search over settings: trials of one study, each a training in a run folder and a process of its own, on Optuna."""
