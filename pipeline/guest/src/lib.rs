//! Guests: smoltcp hosts, counting sinks.
