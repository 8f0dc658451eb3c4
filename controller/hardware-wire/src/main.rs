//! `scaleset-hardware`: simulated hardware as one process.

use std::process::ExitCode;

use clap::Parser;
use scaleset_hardware_wire::args::Args;
use scaleset_hardware_wire::start;

#[tokio::main]
async fn main() -> ExitCode {
    match start::run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scaleset-hardware: {error}");
            ExitCode::FAILURE
        }
    }
}
