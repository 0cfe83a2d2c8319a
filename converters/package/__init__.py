"""The bundle: golden inputs, what was measured, model card and reports in one file."""
