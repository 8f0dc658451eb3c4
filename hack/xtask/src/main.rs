//! Development commands behind the Makefile.

mod build;
mod check;
mod claim;
mod cluster;
mod controller;
mod image;
mod kind;
mod local;
mod node;
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
    /// Start a control plane and a real node in the background, with our image in it.
    Node,
    /// Build the programs of a node that are missing.
    NodePrograms,
    /// Stop what `node` started, and remove its files.
    NodeDown,
    /// Create a cluster in a container with kind, with our image in it.
    Kind,
    /// Build our image, without any daemon.
    Image {
        /// Where to put it; what is there is replaced.
        #[arg(long)]
        directory: Option<std::path::PathBuf>,
    },
    /// Build our image in two folders and compare.
    ImageReproduce,
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
        Command::Node => {
            check::check()?;
            node::up()
        }
        Command::NodePrograms => {
            check::check()?;
            node::programs()
        }
        Command::NodeDown => node::down(),
        Command::Kind => {
            check::check()?;
            kind::up()
        }
        Command::Image { directory } => {
            check::check()?;
            image::tell(&image::make(&directory.unwrap_or_else(image::default_directory))?);
            Ok(())
        }
        Command::ImageReproduce => {
            check::check()?;
            image::reproduce()
        }
        Command::Run(options) => {
            check::check()?;
            local::run(&options)
        }
    }
}
