//! Writing that is whole or not at all, and never over what is not ours.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::error::{AtPath, Error, Result};

/// A file in every folder this program makes: `--overwrite` replaces no folder without it. Who works in the folder holds
/// a lock on it.
const MARK: &str = ".clinlora";
/// Names of what is being written begin so.
const TEMPORARY: &str = ".clinlora-";

/// Writes `bytes` under a temporary name, syncs, and renames: readers see the old file or the new one.
pub(crate) fn write_atomic(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = parent(path);
    let mut temporary = temporary(0o666).tempfile_in(folder).at(path)?;
    temporary.write_all(bytes).at(path)?;
    temporary.as_file().sync_all().at(path)?;
    temporary.persist(path).map_err(|e| e.error).at(path)?;
    sync_folder(folder)
}

/// Gives the content of `from`, which is never changed again, the name `to` as well, in the same file system: as a hard
/// link where there are such, else as a copy.
pub(crate) fn link_atomic(from: &Path, to: &Path) -> Result<()> {
    let folder = parent(to);
    let linked = temporary(0o666).make_in(folder, |path| fs::hard_link(from, path));
    match linked {
        Ok(link) => {
            // Renaming a file onto another link of itself does nothing: dropping the path then removes it.
            let link = link.into_temp_path();
            fs::rename(&link, to).at(to)?;
            drop(link);
            sync_folder(folder)
        }
        Err(_) => write_atomic(to, &read(from)?),
    }
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
        let parent = parent(target);
        fs::create_dir_all(parent).at(parent)?;
        let temporary = temporary(0o777).tempdir_in(parent).at(parent)?;
        File::create(temporary.path().join(MARK)).at(target)?;
        Ok(Self { temporary, target: target.to_owned(), overwrite })
    }

    /// Where to write.
    pub(crate) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Gives the folder its name. An older one, if it may be replaced, is there until then.
    pub(crate) fn finish(self) -> Result<()> {
        for entry in fs::read_dir(self.path()).at(self.path())? {
            let path = entry.at(self.path())?.path();
            if path.is_file() {
                File::open(&path).and_then(|file| file.sync_all()).at(&path)?;
            }
        }
        sync_folder(self.path())?;
        let parent = parent(&self.target);
        refuse_existing(&self.target, self.overwrite)?;
        if !self.target.exists() {
            fs::rename(self.path(), &self.target).at(&self.target)?;
            let _ = self.temporary.keep(); // it has its name now
            return sync_folder(parent);
        }
        let aside = temporary(0o777).tempdir_in(parent).at(parent)?;
        let old = aside.path().join("old");
        fs::rename(&self.target, &old).at(&self.target)?;
        if let Err(error) = fs::rename(self.path(), &self.target) {
            fs::rename(&old, &self.target).at(&self.target)?;
            return Err(error).at(&self.target);
        }
        let _ = self.temporary.keep();
        sync_folder(parent)?;
        aside.close().at(parent) // the old folder goes last
    }
}

/// Refuses an output that is there already. With `overwrite` it may be a folder this program made, or an empty one, that
/// nobody is writing to.
pub(crate) fn refuse_existing(target: &Path, overwrite: bool) -> Result<()> {
    let refuse = |reason: &str| Err(Error::Input(format!("{} {reason}", target.display())));
    let metadata = match fs::symlink_metadata(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata.at(target)?,
    };
    if !overwrite {
        return refuse("exists; choose another output folder or pass --overwrite");
    }
    if !metadata.is_dir() {
        return refuse("exists and is not a folder; choose another output folder");
    }
    if !target.join(MARK).exists() && fs::read_dir(target).at(target)?.next().is_some() {
        return refuse(
            "is not a folder this program made, so --overwrite leaves it alone; choose another output folder",
        );
    }
    if target.join(MARK).exists() {
        FolderLock::take(target)?;
    }
    Ok(())
}

/// Refuses to replace `target` where that would delete one of `inputs`.
pub(crate) fn refuse_inputs_inside<'a>(
    target: &Path,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<()> {
    let Ok(folder) = target.canonicalize() else {
        return Ok(()); // not there, so nothing is in it
    };
    for input in inputs {
        if input.canonicalize().is_ok_and(|path| path.starts_with(&folder)) {
            return Err(Error::Input(format!(
                "{} holds {}, which this command reads; choose another output folder",
                target.display(),
                input.display()
            )));
        }
    }
    Ok(())
}

/// The right to write into a folder; ends with this value or the process.
#[derive(Debug)]
pub(crate) struct FolderLock(#[expect(dead_code, reason = "the lock is the open file's")] File);

impl FolderLock {
    /// Locks a folder made by [`NewFolder`] against being replaced, together with others that do so.
    pub(crate) fn share(folder: &Path) -> Result<Self> {
        let mark = folder.join(MARK);
        let file = File::options().create(true).truncate(false).write(true).open(&mark).at(&mark)?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(Error::Input(format!(
                "{}: another clinlora is replacing this folder; wait until it has",
                folder.display()
            ))),
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(file)),
        }
    }

    /// Locks a folder made by [`NewFolder`].
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let mark = folder.join(MARK);
        let file = File::options().create(true).truncate(false).write(true).open(&mark).at(&mark)?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => Err(Error::Input(format!(
                "{}: another clinlora is writing to this folder; wait until it ends, or stop it",
                folder.display()
            ))),
            // Some network file systems have no locks.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self(file)),
        }
    }
}

/// Removes what a killed process left half-written in `folder`, which the caller has locked.
pub(crate) fn remove_temporaries(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder).at(folder)? {
        let path = entry.at(folder)?.path();
        let is_temporary = |name: &str| name.starts_with(TEMPORARY);
        if !path.file_name().and_then(|n| n.to_str()).is_some_and(is_temporary) {
            continue;
        }
        if path.is_dir() {
            fs::remove_dir_all(&path).at(&path)?;
        } else {
            fs::remove_file(&path).at(&path)?;
        }
    }
    Ok(())
}

/// Temporary names with the permissions the user's umask gives, not tempfile's private ones.
fn temporary(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    #[cfg(unix)]
    builder.permissions(<Permissions as std::os::unix::fs::PermissionsExt>::from_mode(mode));
    builder
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a rename in `folder` survive a power cut.
fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder).and_then(|f| f.sync_all()).at(folder)
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).at(path)
}

/// Reads a whole file as UTF-8, without the byte order mark some editors put first.
pub(crate) fn read_text(path: &Path) -> Result<String> {
    let mut text = String::from_utf8(read(path)?).map_err(|e| {
        Error::Input(format!(
            "{}: not UTF-8 at byte {}; save it as UTF-8",
            path.display(),
            e.utf8_error().valid_up_to()
        ))
    })?;
    if text.starts_with('\u{feff}') {
        text.remove(0);
    }
    Ok(text)
}

/// Lower-case hexadecimal SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
