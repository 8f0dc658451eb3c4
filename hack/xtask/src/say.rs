//! What is told to whoever reads.
//!
//! Output that nobody reads any more (`make up | head`) stops nothing half way: what was begun is done, and only the live
//! table, which is there to be read, ends.

use std::fmt::Display;
use std::io::{Write, stdout};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// Prints a line.
pub(crate) fn say(line: impl Display) {
    part(format_args!("{line}\n"));
}

/// Prints what is no whole line.
pub(crate) fn part(text: impl Display) {
    let mut stdout = stdout();
    // Where nobody reads there is nobody to tell.
    let _ = write!(stdout, "{text}").and_then(|()| stdout.flush());
}

/// Whether the other end of the output is closed.
pub(crate) fn nobody_reads() -> bool {
    let stdout = stdout();
    // Errors are told even where nothing is asked for.
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().intersects(PollFlags::ERR | PollFlags::HUP)
}
