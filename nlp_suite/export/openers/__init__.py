"""Each task's networks at work in Python: one file a task, named like it; without one it is a classifier."""
