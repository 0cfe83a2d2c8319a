"""The bundle and its report."""
