"""The student's architecture from a budget, chosen by measurement."""
