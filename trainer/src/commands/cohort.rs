//! `clinlora cohort`.

use super::print_json;
use crate::cli::{Cohort, Common};
use crate::cohort;
use crate::console;
use crate::error::Result;
use crate::files::NewFolder;
use crate::training::progress::Progress;

/// Simulates the patients, writes their tables and prints what they are like.
///
/// # Errors
/// [`Error::Input`](crate::error::Error::Input) for a folder that exists, and what the file system says.
pub fn run(args: &Cohort, common: &Common) -> Result<()> {
    let folder = NewFolder::create(&args.out, args.overwrite)?;
    let mut progress = Progress::new("patients", 0, args.patients);
    let summary = cohort::write(args.patients, common.seed.unwrap_or(0), folder.path(), &mut progress)?;
    drop(progress);
    folder.finish()?;
    if common.json {
        return print_json(&summary);
    }
    console::result(cohort::table(&summary))?;
    console::note(format_args!("wrote {}: every patient in it is synthetic", args.out.display()));
    Ok(())
}
