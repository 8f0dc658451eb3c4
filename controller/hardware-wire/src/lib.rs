//! The hardware as a process of its own: [`client::RemoteHardware`] is a [`Hardware`](scaleset_hardware::Hardware) whose
//! calls travel over gRPC to a [`server`], which makes them on the hardware that it holds.
//!
//! Messages are JSON: the types of the trait are the wire's types, and [`rpc`] is the list of calls. A further call is a
//! line there and a line in [`client`].
//!
//! What the wire adds to the trait's guarantees:
//! - an answer that does not come, or not in time, is [`Transient`](scaleset_hardware::HardwareError::Transient): what
//!   became of the call is unknown, and a machine that could not be asked for is never taken for absent;
//! - every call carries the epoch of its caller, and a caller who does not lead any more is refused.

pub mod args;
pub mod client;
mod clock;
mod codec;
pub mod flags;
mod health;
pub mod rpc;
pub mod server;
pub mod start;
mod telemetry;
mod token;

/// Name of the gRPC service.
pub const SERVICE: &str = "scaleset.hardware.v1.Hardware";
/// Metadata of a call: the epoch of the leader that makes it.
pub const EPOCH_HEADER: &str = "scaleset-epoch";

/// Longest message either way, in bytes. The longest is one machine, or what all regions offer.
const LONGEST_MESSAGE_BYTES: usize = 16 * 1_024 * 1_024;

pub use token::TokenFile;
