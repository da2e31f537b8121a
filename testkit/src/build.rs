//! Frame builders.
