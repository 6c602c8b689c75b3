"""Trainers of tiny real models: what the tests and benchmarks of neural engines run on."""
