//! Development commands behind the Makefile.

mod build;
mod check;
mod claim;
mod cluster;
mod controller;
mod local;
mod say;
mod settings;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::say::say;

#[derive(Parser)]
#[command(about = "Development commands; the Makefile calls them")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Look for what every other command needs, and say how to get what is missing.
    Check,
    /// Build the programs of the control plane, and of its tests, that are missing.
    ControlPlane,
    /// Start control plane and controller in the background; what runs already is left alone.
    Up(local::Options),
    /// Stop what `up` started.
    Down {
        /// Remove the state as well.
        #[arg(long)]
        clean: bool,
    },
    /// Say which processes of `up` run.
    Status,
    /// Start everything, apply the samples and show a live table until Ctrl-C, then stop everything.
    Run(local::Options),
}

fn main() -> ExitCode {
    let Arguments { command } = Arguments::parse();
    match carry_out(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Without a backtrace, whatever the environment asks for: the message is for a user of the commands.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Check => {
            check::check()?;
            // Only a local run needs them.
            match check::ports() {
                Ok(()) => say("all that is needed is there"),
                Err(taken) => say(format_args!("`make up` and `make run` would fail: {taken}")),
            }
            Ok(())
        }
        Command::ControlPlane => {
            check::check()?;
            build::control_plane()?;
            build::object_health_judge()
        }
        Command::Up(options) => {
            check::check()?;
            local::up(&options)
        }
        Command::Down { clean } => local::down(if clean { local::State::Remove } else { local::State::Keep }),
        Command::Status => local::status(),
        Command::Run(options) => {
            check::check()?;
            local::run(&options)
        }
    }
}
