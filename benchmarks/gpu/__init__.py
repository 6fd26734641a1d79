"""Benchmarks on a GPU: ``bash benchmarks/gpu/run.sh`` runs the tests and all jobs, each in a process of its own."""
