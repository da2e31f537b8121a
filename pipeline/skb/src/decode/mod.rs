//! Full decode for people.
