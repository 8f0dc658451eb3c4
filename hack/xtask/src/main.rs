//! Development commands behind the Makefile.

mod build;
mod check;
mod cluster;
mod controller;
mod local;
mod settings;
mod table;

use clap::{Parser, Subcommand};

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
    /// Build the programs of the control plane that are missing.
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

fn main() -> anyhow::Result<()> {
    let Arguments { command } = Arguments::parse();
    match command {
        Command::Check => {
            check::check()?;
            // Only a local run needs them.
            if let Err(taken) = check::ports() {
                println!("`make up` and `make run` would fail: {taken}");
            }
            Ok(())
        }
        Command::ControlPlane => {
            check::check()?;
            build::control_plane()
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
