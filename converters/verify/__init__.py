"""What was lost: answers, times and figures of every variant, layer by layer; limits; calibrated confidence."""
