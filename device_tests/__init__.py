"""Suites that run on devices, and benchmarks of this one."""
