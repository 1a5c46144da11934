//! The audit log of a folder, `audit.jsonl`: who did what with which program, recipe, data and weights.
//!
//! One JSON object a line, appended under a lock and synced. Each line holds the hash of the one before (`previous`) and
//! ends with its own: SHA-256 over its bytes up to `,"hash":`. So a line that is changed, removed, added or moved breaks
//! the chain at that line. Lines cut off at the end cannot be missed by the chain alone: who must know notes the last hash
//! elsewhere, and `clinlora audit` prints it. No line holds a note's text.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::console;
use crate::error::{AtPath, Error, Result, at_line};
use crate::files;
use crate::process;

/// The log's name in a folder.
pub(crate) const AUDIT: &str = "audit.jsonl";
/// What stands between a line's content and its own hash.
const HASH: &str = ",\"hash\":\"";
/// Bytes of a SHA-256 in hexadecimal.
const HASH_LENGTH: usize = 64;

/// A line of the log, without its own hash.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Place in the log, from 1.
    pub(crate) line: u64,
    /// UTC.
    pub(crate) time: String,
    pub(crate) user: String,
    pub(crate) host: String,
    pub(crate) pid: u32,
    /// What happened: `begun`, `resumed`, `finished`, ..
    pub(crate) event: String,
    /// The command line.
    pub(crate) command: Vec<String>,
    pub(crate) version: String,
    /// SHA-256 of what was involved: `binary`, `recipe`, `data`, `weights`, files that were written.
    pub(crate) sha256: BTreeMap<String, String>,
    /// What else there is to say of the event.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) details: BTreeMap<String, Value>,
    /// Hash of the line before; zeros in the first.
    pub(crate) previous: String,
}

/// Something to be logged.
#[derive(Debug, Default)]
pub(crate) struct Event {
    name: &'static str,
    sha256: BTreeMap<String, String>,
    details: BTreeMap<String, Value>,
}

impl Event {
    /// What happened, in a word or two.
    pub(crate) fn new(name: &'static str) -> Self {
        Self { name, ..Self::default() }
    }

    /// With the hash of something involved.
    pub(crate) fn sha256(mut self, what: &str, hash: &str) -> Self {
        if !hash.is_empty() {
            self.sha256.insert(what.to_owned(), hash.to_owned());
        }
        self
    }

    /// With the hashes of those of `files` that `folder` holds.
    pub(crate) fn files(mut self, folder: &Path, files: &[&str]) -> Result<Self> {
        for name in files.iter().filter(|name| folder.join(name).is_file()) {
            self = self.sha256(name, &files::sha256_of_file(&folder.join(name))?);
        }
        Ok(self)
    }

    /// With something else worth knowing.
    pub(crate) fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }

    /// Appends the event to the log of `folder`, which is made if need be. A last line that a kill tore is taken out, and
    /// the new one says so.
    ///
    /// # Errors
    /// [`Error::Input`] for a log whose last line is none of this program's, and what the file system says.
    pub(crate) fn append_to(mut self, folder: &Path) -> Result<()> {
        let path = folder.join(AUDIT);
        let is_new = !path.exists();
        let mut file = OpenOptions::new().create(true).read(true).append(true).open(&path).at(&path)?;
        // Where the file system has no locks, that of the folder has to do.
        let _ = file.lock();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).at(&path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let torn = bytes.len() - whole;
        if torn > 0 {
            console::note(format_args!(
                "{}: its last line was torn, as by a kill; {torn} bytes are taken out",
                path.display()
            ));
            self = self.detail("torn_bytes_removed", torn);
            file.set_len(whole as u64).at(&path)?;
        }
        let lines: Vec<&[u8]> = bytes[..whole].split_inclusive(|byte| *byte == b'\n').collect();
        let previous = match lines.last() {
            None => "0".repeat(HASH_LENGTH),
            Some(last) => {
                let number = lines.len() as u64;
                split(last).map_err(|reason| at_line(&path, number, reason))?.1.to_owned()
            }
        };
        let line = self.line(lines.len() as u64 + 1, previous);
        file.write_all(line.as_bytes()).at(&path)?;
        file.sync_all().at(&path)?;
        if is_new { files::sync_folder(folder) } else { Ok(()) }
    }

    fn line(self, number: u64, previous: String) -> String {
        let entry = Entry {
            line: number,
            time: process::now(),
            user: process::user(),
            host: process::host(),
            pid: std::process::id(),
            event: self.name.to_owned(),
            command: std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            sha256: self.sha256,
            details: self.details,
            previous,
        }
        .with_binary();
        let json = serde_json::to_string(&entry).expect("strings and numbers serialise");
        let content = json.strip_suffix('}').expect("an object ends with a brace");
        format!("{content}{HASH}{}\"}}\n", files::sha256(content.as_bytes()))
    }
}

impl Entry {
    fn with_binary(mut self) -> Self {
        self.sha256.insert("binary".to_owned(), process::binary_sha256().to_owned());
        self
    }
}

/// Content and hash of a line that ends with a newline.
fn split(line: &[u8]) -> std::result::Result<(&str, &str), &'static str> {
    const SHAPE: &str = "not a line of this program's log";
    let line = std::str::from_utf8(line).map_err(|_| SHAPE)?;
    let line = line.strip_suffix("\"}\n").ok_or(SHAPE)?;
    let at = line.len().checked_sub(HASH_LENGTH + HASH.len()).ok_or(SHAPE)?;
    let (content, hash) = line.split_at_checked(at).ok_or(SHAPE)?;
    Ok((content, hash.strip_prefix(HASH).ok_or(SHAPE)?))
}

/// A log whose chain holds.
#[derive(Debug)]
pub(crate) struct Verified {
    pub(crate) entries: Vec<Entry>,
    /// Hash of the last line.
    pub(crate) head: String,
}

/// Reads the log at `path` and checks its chain.
///
/// # Errors
/// [`Error::Input`] naming the first broken line and what is wrong with it.
pub(crate) fn verify(path: &Path) -> Result<Verified> {
    let bytes = files::read(path)?;
    if bytes.is_empty() {
        return Err(Error::Input(format!(
            "{}: empty; a log has a line for its folder's making",
            path.display()
        )));
    }
    let mut head = "0".repeat(HASH_LENGTH);
    let mut entries = Vec::new();
    for (number, line) in (1u64..).zip(bytes.split_inclusive(|byte| *byte == b'\n')) {
        let broken = |reason: &str| at_line(path, number, format!("{reason}; the lines before it hold"));
        if !line.ends_with(b"\n") {
            return Err(broken(
                "the line is torn, as by a kill while it was written (the next run in the folder takes it out)",
            ));
        }
        let (content, hash) = split(line).map_err(broken)?;
        if files::sha256(content.as_bytes()) != hash {
            return Err(broken("the line has been changed: its hash is another"));
        }
        let entry: Entry = serde_json::from_str(&format!("{content}}}"))
            .map_err(|_| broken("the line lacks a field of this program's log"))?;
        if entry.previous != head || entry.line != number {
            return Err(broken(
                "lines before this one have been removed, added or moved: it follows another",
            ));
        }
        hash.clone_into(&mut head);
        entries.push(entry);
    }
    Ok(Verified { entries, head })
}

/// The lines of a folder's log that can be read, whether or not the chain holds; none if there is no log.
pub(crate) fn entries(folder: &Path) -> Vec<Entry> {
    let text = std::fs::read_to_string(folder.join(AUDIT)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// Continues in `folder`, which will replace `old`, the log that `old` has: what was done there stays known.
pub(crate) fn carry_over(old: &Path, folder: &Path) -> Result<()> {
    match File::open(old.join(AUDIT)) {
        Ok(_) => files::write_atomic(&folder.join(AUDIT), &files::read(&old.join(AUDIT))?),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotADirectory => Ok(()),
        Err(error) => Err(error).at(old.join(AUDIT)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A log of three lines in a folder of its own.
    fn log() -> (tempfile::TempDir, String) {
        let folder = tempfile::tempdir().unwrap();
        for (name, update) in [("begun", 0), ("resumed", 17), ("finished", 31)] {
            let event = Event::new(name).sha256("recipe", "ab12").detail("update", update);
            event.append_to(folder.path()).unwrap();
        }
        let text = fs::read_to_string(folder.path().join(AUDIT)).unwrap();
        (folder, text)
    }

    fn refusal(folder: &tempfile::TempDir, text: &str) -> String {
        let path = folder.path().join(AUDIT);
        fs::write(&path, text).unwrap();
        let error = verify(&path).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn what_was_appended_holds_and_says_who_and_what() {
        let (folder, text) = log();
        let Verified { entries, head } = verify(&folder.path().join(AUDIT)).unwrap();
        let events: Vec<&str> = entries.iter().map(|entry| entry.event.as_str()).collect();
        assert_eq!(events, ["begun", "resumed", "finished"]);
        assert_eq!(entries[1].details["update"], 17);
        assert_eq!(entries[1].sha256["recipe"], "ab12");
        assert_eq!(entries[1].sha256["binary"].len(), 64);
        assert_eq!(
            (entries[2].pid, entries[2].host.as_str()),
            (std::process::id(), process::host().as_str())
        );
        assert!(text.ends_with(&format!("{head}\"}}\n")));
        assert_eq!(super::entries(folder.path()), entries);
    }

    #[test]
    fn whatever_is_changed_breaks_the_chain_at_its_line() {
        let (folder, text) = log();
        let lines: Vec<&str> = text.lines().collect();
        let whole = |lines: &[&str]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let changed = |at: usize, from: &str, to: &str| {
            let mut lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
            assert!(lines[at].contains(from), "{}", lines[at]);
            lines[at] = lines[at].replacen(from, to, 1);
            lines.iter().map(|line| format!("{line}\n")).collect::<String>()
        };
        for (damaged, line, named) in [
            (changed(1, "17", "18"), 2, "has been changed"),
            (changed(0, "begun", "began"), 1, "has been changed"),
            (whole(&[lines[0], lines[2]]), 2, "removed"),
            (whole(&[lines[1], lines[2]]), 1, "removed"),
            (whole(&[lines[0], lines[2], lines[1]]), 2, "moved"),
            (whole(&[lines[0], lines[0], lines[1], lines[2]]), 2, "added"),
            (whole(&[lines[0], "{}", lines[2]]), 2, "not a line"),
            (text[..text.len() - 9].to_owned(), 3, "torn"),
        ] {
            let message = refusal(&folder, &damaged);
            assert!(message.contains(&format!("{AUDIT}:{line}: ")) && message.contains(named), "{message}");
        }
        // Every single byte counts; one that ends a line may break the next one.
        for at in (0..text.len()).step_by(7) {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
            let line = 1 + text.as_bytes()[..at].iter().filter(|byte| **byte == b'\n').count();
            let message = refusal(&folder, std::str::from_utf8(&bytes).unwrap());
            assert!(message.contains(&format!("{AUDIT}:{line}: ")), "byte {at}: {message}");
        }
    }

    #[test]
    fn a_torn_line_is_taken_out_and_the_next_says_so() {
        let (folder, text) = log();
        let path = folder.path().join(AUDIT);
        fs::write(&path, &text[..text.len() - 40]).unwrap();
        Event::new("resumed").append_to(folder.path()).unwrap();
        let Verified { entries, .. } = verify(&path).unwrap();
        assert_eq!(entries.len(), 3);
        assert_eq!(entries[2].event, "resumed");
        assert!(entries[2].details["torn_bytes_removed"].as_u64().unwrap() > 300);

        fs::write(&path, format!("{text}something else\n")).unwrap();
        let error = Event::new("resumed").append_to(folder.path()).unwrap_err().to_string();
        assert!(error.contains(":4: not a line"), "{error}");
    }
}
