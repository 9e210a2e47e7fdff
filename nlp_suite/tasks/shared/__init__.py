"""What several tasks share and nothing below them needs."""
