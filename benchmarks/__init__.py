"""How fast it is, in ratios to peers that do the same work in the same run. `python -m benchmarks`."""
