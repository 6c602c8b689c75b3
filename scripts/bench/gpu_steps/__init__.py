"""What scripts/bench/gpu.py measures, a module each, and what they share."""
