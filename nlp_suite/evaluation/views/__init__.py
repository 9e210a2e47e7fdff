"""How a report of each kind is shown: one file a kind with `CURVES`, `headline`, `sections` and `terminal`."""
