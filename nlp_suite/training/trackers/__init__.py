"""Programs that keep the figures of trainings: one file each."""
