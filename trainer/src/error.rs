//! The program's errors and what they exit with.

use std::path::{Path, PathBuf};

use crate::console::STDOUT;

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}{}", path.display(), cure(source))]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file, argument or recipe that does not say what it must.
    #[error("{0}")]
    Input(String),
    /// Bytes the model crate refused, with the file they came from.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<clinlora_core::Error>,
    },
    /// A device that stopped computing; what its runtime says.
    #[error("the device stopped: {0}")]
    Device(String),
    /// A device without room for a step: what was asked for, what was free, and what would fit.
    #[error("{0}")]
    OutOfMemory(String),
    /// Processes that train together and lost each other.
    #[error("{0}")]
    Ranks(String),
    /// A model's numbers are not finite; what and where.
    #[error("{0}")]
    NotFinite(String),
    /// Ctrl+C, SIGTERM or SIGHUP; the run was saved.
    #[error("interrupted after update {update}; {} can be continued", run.display())]
    Interrupted {
        /// The signal's number.
        signal: i32,
        /// Updates done.
        update: u64,
        /// The run folder.
        run: PathBuf,
    },
    /// Ctrl+C or SIGTERM while there was nothing to save.
    #[error("interrupted; nothing was written")]
    Stopped {
        /// The signal's number.
        signal: i32,
    },
    /// Training whose numbers left the range of floats.
    #[error("update {update}: {what}; {advice}")]
    Diverged {
        /// The update that was being made, or had been made.
        update: u64,
        /// Which number is not finite.
        what: String,
        /// Where the last good state is, and what to try.
        advice: String,
    },
}

impl Error {
    /// Exit status: 2 for what the user can mend (usage, input, a full disk), 128 and the signal's number for an
    /// interruption (Ctrl+C 130, SIGTERM 143), 1 for anything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        use std::io::ErrorKind;
        match self {
            Self::Input(_) | Self::Model { .. } | Self::NotFinite(_) | Self::OutOfMemory(_) => 2,
            Self::Interrupted { signal, .. } | Self::Stopped { signal } => {
                u8::try_from(128 + signal).unwrap_or(1)
            }
            Self::Diverged { .. } | Self::Device(_) | Self::Ranks(_) => 1,
            Self::Io { source, .. } => match source.kind() {
                ErrorKind::NotFound
                | ErrorKind::PermissionDenied
                | ErrorKind::NotADirectory
                | ErrorKind::IsADirectory
                | ErrorKind::AlreadyExists
                | ErrorKind::InvalidData
                | ErrorKind::InvalidFilename
                | ErrorKind::ReadOnlyFilesystem
                | ErrorKind::StorageFull
                | ErrorKind::QuotaExceeded
                | ErrorKind::FileTooLarge => 2,
                _ => 1,
            },
        }
    }

    /// Whether who reads stdout has had enough, as `head` does: no failure.
    #[must_use]
    pub fn is_closed_stdout(&self) -> bool {
        matches!(self, Self::Io { path, source }
            if path == Path::new(STDOUT) && source.kind() == std::io::ErrorKind::BrokenPipe)
    }
}

/// What to do about a failed write, beginning with a separator; empty where the system's words are all there is.
fn cure(source: &std::io::Error) -> &'static str {
    use std::io::ErrorKind;
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
            "; make room and run it again, a training run with --resume"
        }
        _ => "",
    }
}

/// Shorthand of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the file an error belongs to.
pub(crate) trait AtPath<T> {
    /// Attaches `path`.
    fn at(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Io { path: path.as_ref().to_owned(), source })
    }
}

impl<T> AtPath<T> for std::result::Result<T, clinlora_core::Error> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Model { path: path.as_ref().to_owned(), source: Box::new(source) })
    }
}

/// An [`Error::Input`] at a line of a file.
pub(crate) fn at_line(path: &Path, line: u64, reason: impl std::fmt::Display) -> Error {
    Error::Input(format!("{}:{line}: {reason}", path.display()))
}
