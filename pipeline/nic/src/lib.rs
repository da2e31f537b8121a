//! NICs of the path: a capture file, a generator.
