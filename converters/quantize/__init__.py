"""Integer forms of the exported student."""
