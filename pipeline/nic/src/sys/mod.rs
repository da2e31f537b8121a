//! Sockets of the kernel, behind safe types: the one place of this crate where `unsafe` may stand.
