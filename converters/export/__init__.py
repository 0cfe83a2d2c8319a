"""The student as model files, as small as they ship, and the files as variants of a bundle."""
