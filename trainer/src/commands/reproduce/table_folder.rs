//! The folder of a table of runs: begun, continued, or begun anew.

use std::path::Path;

use crate::error::{AtPath, Result};
use crate::files::{self, FolderLock, NewFolder};

/// Where the recipes stand in it.
const RECIPES: &str = "recipes";

/// Whether `out` is a table that was begun and is to be continued; refuses what can be neither continued nor begun.
pub(super) fn check<'a>(
    out: &Path,
    overwrite: bool,
    inputs: impl IntoIterator<Item = &'a Path>,
) -> Result<bool> {
    if !overwrite && out.join(RECIPES).is_dir() && files::is_ours(out) {
        return Ok(true);
    }
    files::refuse_existing(out, overwrite)?;
    files::refuse_inputs_inside(out, inputs)?;
    Ok(false)
}

/// Does what `plan` says in the folder of the table, which another process cannot work in meanwhile. A new folder appears,
/// and an older one goes, once `plan` has turned out well.
pub(super) fn open<T>(
    out: &Path,
    overwrite: bool,
    begun: bool,
    plan: impl FnOnce(&Path) -> Result<T>,
) -> Result<(T, FolderLock)> {
    if begun {
        let lock = FolderLock::take(out)?;
        files::remove_temporaries(out)?;
        return Ok((plan(out)?, lock));
    }
    let folder = NewFolder::create(out, overwrite)?;
    std::fs::create_dir_all(folder.path().join(RECIPES)).at(out)?;
    let planned = plan(folder.path())?;
    let lock = FolderLock::take(folder.path())?;
    folder.finish()?;
    Ok((planned, lock))
}
