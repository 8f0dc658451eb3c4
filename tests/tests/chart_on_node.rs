//! The charts as a platform team runs them, with the real helm on a real node: installed, tested, brought to another
//! version in the middle of a roll, and not taken away from under what is in use.
//!
//! One story on one node: each part begins with what the last one has left.

#[path = "chart_on_node/hardware.rs"]
mod hardware;
#[path = "chart_on_node/life.rs"]
mod life;
#[path = "chart_on_node/stage.rs"]
mod stage;
