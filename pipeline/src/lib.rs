//! The path wired together: engine, steps, stage export.
