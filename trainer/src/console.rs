//! The two streams: results on stdout, everything said along the way on stderr.

use std::fmt::Display;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{AtPath, Result};

/// What messages call standard output.
pub(crate) const STDOUT: &str = "stdout";

/// Whether another process speaks for this one.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

/// Prints no more notes: another process speaks for this one.
pub(crate) fn be_quiet() {
    IS_QUIET.store(true, Ordering::Relaxed);
}

/// Whether notes are printed.
pub(crate) fn is_quiet() -> bool {
    IS_QUIET.load(Ordering::Relaxed)
}

/// Prints a line of a result.
///
/// # Errors
/// [`crate::error::Error::Io`] if it cannot be written: a script must not take half a result for a whole one.
pub fn result(line: impl Display) -> Result<()> {
    writeln!(std::io::stdout().lock(), "{line}").at(STDOUT)
}

/// Prints a line beside the result. That it cannot be written ends nothing: a run whose log is redirected to a full disk
/// still has to stop in order.
pub fn note(line: impl Display) {
    if !is_quiet() {
        error(line);
    }
}

/// Prints why a command failed, whoever speaks for this process.
pub fn error(line: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
