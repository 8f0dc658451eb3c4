//! Questions that an installer asks with this program, because its image holds no other: whether the product is ready,
//! and whether it may be taken away. Each answers with its exit code and one line.

mod ready;
mod uninstall;

use clap::Subcommand;
use thiserror::Error;

/// A question. Without one the controller runs.
#[derive(Clone, Debug, Subcommand)]
pub enum Check {
    /// Asks a running controller whether it is ready, until it is or the time is over.
    CheckReady(ready::Arguments),
    /// Fails while there are objects that nobody could take away without the controller, and names them.
    CheckUninstall(uninstall::Arguments),
}

/// Why the answer is no.
#[derive(Debug, Error)]
pub enum CheckError {
    /// The controller is not ready.
    #[error(transparent)]
    Ready(#[from] ready::NotReady),
    /// It must not be taken away, or that could not be found out.
    #[error(transparent)]
    Uninstall(#[from] uninstall::Refusal),
}

/// Asks, and says what was found.
pub async fn run(check: Check) -> Result<(), CheckError> {
    let answer = match check {
        Check::CheckReady(arguments) => ready::ask(arguments).await?,
        Check::CheckUninstall(arguments) => uninstall::ask(arguments).await?,
    };
    println!("{answer}");
    Ok(())
}
