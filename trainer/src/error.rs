//! The program's errors and what they exit with.

use std::path::{Path, PathBuf};

/// Why a command stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{}: {source}", path.display())]
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
        source: clinlora_core::Error,
    },
    /// Ctrl+C or SIGTERM; the run was saved.
    #[error("interrupted after update {update}; continue with --resume ({})", run.display())]
    Interrupted {
        /// Updates done.
        update: u64,
        /// The run folder.
        run: PathBuf,
    },
    /// Ctrl+C or SIGTERM while there was nothing to save.
    #[error("interrupted; nothing was written")]
    Stopped,
    /// Training whose numbers left the range of floats.
    #[error("update {update}: the {what} is not finite; {advice}")]
    Diverged {
        /// The update that was being made.
        update: u64,
        /// `loss` or `gradient`.
        what: &'static str,
        /// Where the last good state is, and what to try.
        advice: String,
    },
}

impl Error {
    /// Exit status: 2 for what the user can mend (usage, input), 130 for an interruption, 1 for anything else.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Input(_) | Self::Model { .. } => 2,
            Self::Interrupted { .. } | Self::Stopped => 130,
            Self::Diverged { .. } => 1,
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound
                | std::io::ErrorKind::PermissionDenied
                | std::io::ErrorKind::NotADirectory
                | std::io::ErrorKind::IsADirectory
                | std::io::ErrorKind::AlreadyExists
                | std::io::ErrorKind::InvalidData
                | std::io::ErrorKind::StorageFull => 2,
                _ => 1,
            },
        }
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
        self.map_err(|source| Error::Io {
            path: path.as_ref().to_owned(),
            source,
        })
    }
}

impl<T> AtPath<T> for std::result::Result<T, clinlora_core::Error> {
    fn at(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::Model {
            path: path.as_ref().to_owned(),
            source,
        })
    }
}

/// An [`Error::Input`] at a line of a file.
pub(crate) fn at_line(path: &Path, line: u64, reason: impl std::fmt::Display) -> Error {
    Error::Input(format!("{}:{line}: {reason}", path.display()))
}
