//! The driver: rx ring, NAPI budget, GRO.
