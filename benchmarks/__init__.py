"""Benchmark specs that ship with asdbench."""
