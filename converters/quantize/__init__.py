"""Smaller forms of the exported student: static int8, calibrated or trained; dynamic, weight-only, fp16."""
