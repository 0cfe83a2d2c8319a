"""What was lost: figures of every variant, limits, calibrated confidence."""
