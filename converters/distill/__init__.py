"""Teachers, students and the training that joins them."""
