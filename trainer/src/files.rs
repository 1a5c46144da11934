//! Writing that is whole or not at all, and never over what is not ours.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::console;
use crate::error::{AtPath, Error, Result};
use crate::process;

/// A file in every folder this program makes: `--overwrite` replaces no folder without it. Who works in the folder holds
/// a lock on it, and it says who that is.
pub(crate) const MARK: &str = ".clinlora";
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

/// A file to be written in parts, under a temporary name in the folder of `path` that tells what it will be.
pub(crate) fn begin_file(path: &Path) -> Result<NamedTempFile> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut builder = temporary(0o666);
    let prefix = format!("{TEMPORARY}{name}-");
    builder.prefix(&prefix).tempfile_in(parent(path)).at(path)
}

/// Gives a file [begun](begin_file) its name, once it is on disk as a whole.
pub(crate) fn finish_file(file: NamedTempFile, path: &Path) -> Result<()> {
    file.as_file().sync_all().at(path)?;
    file.persist(path).map_err(|e| e.error).at(path)?;
    sync_folder(parent(path))
}

/// Removes what killed processes left of a file [begun](begin_file) that nobody else is writing.
pub(crate) fn remove_begun(path: &Path) -> Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let prefix = format!("{TEMPORARY}{name}-");
    for entry in fs::read_dir(parent(path)).at(path)? {
        let entry = entry.at(path)?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            fs::remove_file(entry.path()).at(path)?;
        }
    }
    Ok(())
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

/// Whether this program made `folder`.
pub(crate) fn is_ours(folder: &Path) -> bool {
    folder.join(MARK).is_file()
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
pub(crate) struct FolderLock(File);

/// Who writes to a folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Holder {
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// UTC.
    pub(crate) since: String,
}

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
    ///
    /// The kernel drops a lock when its process ends, however that ends; so what a killed process of this machine left is
    /// taken over. Of another machine nothing can be known: file systems differ in whether locks reach that far.
    ///
    /// # Errors
    /// [`Error::Input`] with host and process of who holds it.
    pub(crate) fn take(folder: &Path) -> Result<Self> {
        let mark = folder.join(MARK);
        let options = File::options().create(true).truncate(false).read(true).write(true).open(&mark);
        let mut file = options.at(&mark)?;
        let is_locked = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::Error(_)) => false, // some network file systems have no locks
            Err(TryLockError::WouldBlock) => return Err(busy(folder, Holder::read(&mut file).as_ref())),
        };
        if let Some(holder) = Holder::read(&mut file) {
            if holder.host != process::host() {
                return Err(Error::Input(format!(
                    "{}: clinlora on host {}, process {}, is writing to this folder since {}, or was killed there; if that \
                     process is gone, delete {} and run this again",
                    folder.display(),
                    holder.host,
                    holder.pid,
                    holder.since,
                    mark.display()
                )));
            }
            if !is_locked && process::is_alive(holder.pid) {
                return Err(busy(folder, Some(&holder)));
            }
            console::note(format_args!(
                "{}: process {}, which was writing to this folder since {}, is gone; its lock is stale and taken over",
                folder.display(),
                holder.pid,
                holder.since
            ));
        }
        Holder::this().write(&mut file).at(&mark)?;
        Ok(Self(file))
    }

    /// Who holds the lock of `folder` at this moment, or is not known to be gone: the process of another host.
    pub(crate) fn holder(folder: &Path) -> Option<Holder> {
        let mut file = File::open(folder.join(MARK)).ok()?;
        let holder = Holder::read(&mut file)?;
        if holder.host != process::host() {
            return Some(holder);
        }
        // Asked for only where it is most likely held, so that nobody who takes it in this moment is refused.
        let is_held = process::is_alive(holder.pid)
            && matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock | TryLockError::Error(_)));
        is_held.then_some(holder)
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        let _ = self.0.set_len(0); // what stays is a stale lock, which the next process sees through
    }
}

impl Holder {
    fn this() -> Self {
        Self { host: process::host(), pid: std::process::id(), since: process::now() }
    }

    fn read(file: &mut File) -> Option<Self> {
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).ok()?;
        serde_json::from_str(&text).ok()
    }

    fn write(&self, file: &mut File) -> io::Result<()> {
        let json = serde_json::to_string(self).expect("strings and numbers serialise");
        file.rewind()?;
        file.write_all(format!("{json}\n").as_bytes())?;
        file.set_len(json.len() as u64 + 1)
    }
}

fn busy(folder: &Path, holder: Option<&Holder>) -> Error {
    let who = holder.map_or_else(String::new, |holder| {
        format!(" (host {}, process {}, since {})", holder.host, holder.pid, holder.since)
    });
    Error::Input(format!(
        "{}: another clinlora{who} is writing to this folder; wait until it ends, or stop it",
        folder.display()
    ))
}

/// Removes a folder at once: a kill on the way leaves nothing of it under its name.
pub(crate) fn remove_folder(path: &Path) -> Result<()> {
    let aside = temporary(0o777).tempdir_in(parent(path)).at(path)?;
    fs::rename(path, aside.path().join("old")).at(path)?;
    aside.close().at(path)
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
pub(crate) fn sync_folder(folder: &Path) -> Result<()> {
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

/// Lower-case hexadecimal SHA-256 of a file, read piece by piece.
pub(crate) fn sha256_of_file(path: &Path) -> Result<String> {
    use sha2::{Digest, Sha256};
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path).at(path)?, &mut hash).at(path)?;
    Ok(hex(&hash.finalize()))
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
