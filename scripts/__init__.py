"""Benchmarks and helpers of development."""
