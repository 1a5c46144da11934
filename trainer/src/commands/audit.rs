//! `clinlora audit`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::print_json;
use crate::audit::{AUDIT, Entry, Verified, verify};
use crate::cli::{Audit, Common};
use crate::console;
use crate::error::{AtPath, Error, Result};
use crate::training::progress::Progress;

/// Checks every audit log in the folder and below, and prints who did what.
///
/// # Errors
/// [`Error::Input`] naming the first broken line, or for a folder without a log.
pub fn run(args: &Audit, common: &Common) -> Result<()> {
    let mut paths = Vec::new();
    find(&args.folder, &mut paths)?;
    if paths.is_empty() {
        return Err(Error::Input(format!(
            "{}: no {AUDIT} there or below; runs, evaluations and merged models have one",
            args.folder.display()
        )));
    }
    let mut progress = Progress::new("audit", 0, paths.len() as u64);
    let mut logs = Vec::new();
    for (done, path) in (1u64..).zip(paths) {
        let verified = verify(&path)?;
        logs.push((path, verified));
        progress.set(done, String::new);
    }
    drop(progress);
    if common.json {
        let logs: Vec<_> = logs
            .iter()
            .map(|(path, Verified { entries, head })| json!({"log": path, "head": head, "lines": entries}))
            .collect();
        return print_json(&json!({ "logs": logs }));
    }
    for (path, Verified { entries, head }) in &logs {
        console::result(format_args!(
            "{}: {} lines, the chain holds; head {head}",
            path.display(),
            entries.len()
        ))?;
        for entry in entries {
            console::result(line(entry))?;
        }
    }
    Ok(())
}

fn line(entry: &Entry) -> String {
    let Entry { line, time, user, host, event, command, .. } = entry;
    let details: Vec<String> = entry.details.iter().map(|(key, value)| format!("{key} {value}")).collect();
    // The program's own path says little; it is in the log.
    let command = command.iter().skip(1).map(String::as_str).collect::<Vec<_>>().join(" ");
    format!("  {line:3}  {time}  {user}@{host}  {event} {}  ({command})", details.join(", "))
}

/// The logs of `folder` and of what is below, in order.
fn find(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    let mut inside = Vec::new();
    for entry in std::fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        if entry.file_name() == AUDIT {
            found.push(entry.path());
        } else if entry.file_type().at(folder)?.is_dir() {
            inside.push(entry.path());
        }
    }
    inside.sort_unstable();
    inside.iter().try_for_each(|folder| find(folder, found))
}
