//! Hardware over the wire: a server and a client in one process, over a real connection.
#![expect(clippy::unwrap_used, reason = "what cannot be unwrapped fails the test")]

mod access;
mod calls;
mod connection;
mod fixture;
