//! A simulated region.
