//! Writing that is whole or not at all.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::{AtPath, Error, Result};

/// Writes `bytes` under a temporary name, syncs, and renames: readers see the old file or the new one.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).at(path)?;
    temporary.write_all(bytes).at(path)?;
    temporary.as_file().sync_all().at(path)?;
    temporary.persist(path).map_err(|e| e.error).at(path)?;
    sync_folder(folder)
}

/// A folder that appears under its name only when it is complete; dropped before, it leaves nothing behind.
#[derive(Debug)]
pub(crate) struct NewFolder {
    temporary: tempfile::TempDir,
    target: PathBuf,
    overwrite: bool,
}

impl NewFolder {
    /// Begins `target`, which must not exist unless `overwrite`.
    pub(crate) fn create(target: &Path, overwrite: bool) -> Result<Self> {
        refuse_existing(target, overwrite)?;
        let parent = target
            .parent()
            .filter(|p| !p.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(parent).at(parent)?;
        let temporary = tempfile::Builder::new()
            .prefix(".clinlora-")
            .tempdir_in(parent)
            .at(parent)?;
        Ok(Self {
            temporary,
            target: target.to_owned(),
            overwrite,
        })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the folder its name, replacing an older one if that was allowed.
    pub(crate) fn finish(self) -> Result<()> {
        for entry in fs::read_dir(self.path()).at(self.path())? {
            let path = entry.at(self.path())?.path();
            if path.is_file() {
                File::open(&path).and_then(|file| file.sync_all()).at(&path)?;
            }
        }
        if self.overwrite && self.target.exists() {
            fs::remove_dir_all(&self.target).at(&self.target)?;
        }
        let temporary = self.temporary.keep();
        fs::rename(&temporary, &self.target).at(&self.target)?;
        sync_folder(
            self.target
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
        )
    }
}

/// Refuses an output that is there already.
pub(crate) fn refuse_existing(target: &Path, overwrite: bool) -> Result<()> {
    if target.exists() && !overwrite {
        let message = format!(
            "{} exists; choose another --out or pass --overwrite",
            target.display()
        );
        return Err(Error::Input(message));
    }
    Ok(())
}

/// Makes a rename in `folder` survive a power cut.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).at(folder)
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).at(path)
}

/// Reads a whole file as UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    String::from_utf8(read(path)?).map_err(|e| {
        Error::Input(format!(
            "{}: not UTF-8 at byte {}",
            path.display(),
            e.utf8_error().valid_up_to()
        ))
    })
}

/// Lower-case hexadecimal SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
