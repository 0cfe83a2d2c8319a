"""The student as model files, and the files as variants of a bundle."""
