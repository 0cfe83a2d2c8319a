"""Gold sets: items that people labelled, in versions that only grow."""
