"""What is measured on a split, a file a task: `measure(run, split, store, progress) -> report`."""
