//! The simulated hardware from outside: what a caller of the trait, of the control endpoint and of the store sees.
#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the test")]

mod asked;
mod capacity;
mod control;
mod disturbance;
mod durable;
mod epoch;
mod fixture;
mod health;
mod idempotence;
mod lifecycle;
mod load;
mod load_balancing;
mod maintenance;
mod make_room;
mod membership;
mod model;
mod os_disk;
mod perform;
mod region;
mod reservation;
mod reservation_histories;
mod reservation_membership;
mod spot;
mod surplus;
mod termination;
