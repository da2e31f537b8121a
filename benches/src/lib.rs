//! Benchmarks of the path and of inspect.
