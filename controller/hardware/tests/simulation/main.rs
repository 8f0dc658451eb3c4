//! The simulated hardware from outside: what a caller of the trait, of the control endpoint and of the store sees.

mod fixture;
mod lifecycle;
