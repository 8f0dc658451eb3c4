//! `scaleset-controller`: the operator as one process.

use std::process::ExitCode;

use clap::Parser;
use scaleset_controller::args::Args;
use scaleset_controller::start;

#[tokio::main]
async fn main() -> ExitCode {
    match start::run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scaleset-controller: {error}");
            ExitCode::FAILURE
        }
    }
}
