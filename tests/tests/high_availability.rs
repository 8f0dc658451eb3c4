//! Several replicas, one leader: real processes of the controller, hardware in a process of its own, a real control plane.
//! What happened is told by the hardware's journal, which says under which epoch each call was made.
//!
//! `TRIES` is how often a leader is paused (10 without it); with `TRANSCRIPT`, what each try showed is
//! written into that page, behind its mark.

#[path = "high_availability/api_writes.rs"]
mod api_writes;
#[path = "high_availability/fencing.rs"]
mod fencing;
#[path = "high_availability/hand_over.rs"]
mod hand_over;
#[path = "high_availability/hardware.rs"]
mod hardware;
#[path = "high_availability/readiness.rs"]
mod readiness;
#[path = "high_availability/three_replicas.rs"]
mod three_replicas;
#[path = "high_availability/token_review.rs"]
mod token_review;
#[path = "high_availability/world.rs"]
mod world;
