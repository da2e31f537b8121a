//! The virtual switch: FDB, VLAN, mirror, switch types; sans-IO.
