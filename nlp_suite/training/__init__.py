"""The fit loop: run folders, schedules, checkpoints and exact resumption."""
