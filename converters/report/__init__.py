"""The report: what was made, how good it is, what was lost where; for people and for programs."""
