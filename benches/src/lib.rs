//! Benchmarks: what is measured, how often, and beside what floor.
//!
//! Each module measures one thing and returns [`Row`]s; `framewalk bench` prints them, the
//! targets of this package run them under `cargo bench`. A row carries its runs, so that a median
//! never stands without its spread, and a floor measured in the same process where there is one.
//! Nothing here asserts a time.
#![forbid(unsafe_code)]

pub mod fdb;
pub mod locate;
pub mod path;
mod row;

pub use row::{Row, Spread};
