//! `scaleset-controller`: the operator as one process.

use std::process::ExitCode;

use clap::Parser;
use scaleset_controller::args::Args;
use scaleset_controller::{check, start};

#[cfg(all(feature = "jemalloc", target_os = "linux"))]
#[global_allocator]
static HEAP: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> ExitCode {
    let mut args = Args::parse();
    let ended = match args.question.take() {
        Some(question) => check::run(question).await.map_err(|error| error.to_string()),
        None => start::run(args).await.map_err(|error| error.to_string()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scaleset-controller: {error}");
            ExitCode::FAILURE
        }
    }
}
