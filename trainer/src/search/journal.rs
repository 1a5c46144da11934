//! The journal of a search: JSON lines, only ever added to, shared by all processes that work on it.
//!
//! The first line says what is searched and how; each other one is something that happened to a trial. Whoever reads or
//! adds holds an exclusive lock on the file, for moments only. It is `flock`, which Linux passes on to the server of an NFS
//! share and the kernel drops with the process, however that ends: a file made to mark a lock would outlive a killed
//! process.
//!
//! A line counts once its line break is written. What a process killed in the middle of one left behind is cut off.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::metric::Metric;
use super::sampler::Sampler;
use crate::console;
use crate::error::{AtPath, Error, Result, at_line};

/// Its name in the folder of a search.
pub(crate) const JOURNAL: &str = "journal.jsonl";

/// Of the lines below; a change of their meaning raises it.
const VERSION: u32 = 1;

/// What is searched and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    version: u32,
    pub(crate) sampler: Sampler,
    pub(crate) metric: Metric,
    pub(crate) seed: u64,
    /// Values of each key, as [`super::space::Space::describe`] has them.
    pub(crate) space: BTreeMap<String, Json>,
    /// Of `recipe`.
    recipe_sha256: String,
    /// The recipe in full, with the values of the space's first point.
    recipe: String,
}

/// A line of the journal; times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub(crate) enum Line {
    /// The first.
    Search(Header),
    /// A trial was proposed, and a process began it.
    Started {
        trial: usize,
        values: BTreeMap<String, Json>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expected_improvement: Option<f64>,
        host: String,
        pid: u32,
        time: u64,
    },
    /// A process took up what another, or itself before, had left.
    Resumed { trial: usize, host: String, pid: u32, time: u64 },
    /// A process stopped in order, with the trial saved but not done.
    Left { trial: usize, time: u64 },
    /// Validation after an epoch.
    Epoch { trial: usize, epoch: u64, value: f64, time: u64 },
    /// A trial came to its end.
    Finished {
        trial: usize,
        value: f64,
        /// An earlier trial of the same values, whose figure this is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        same_as: Option<usize>,
        time: u64,
    },
    /// A trial cannot be finished.
    Failed { trial: usize, reason: String, time: u64 },
    /// A trial was given up as hopeless after an epoch.
    Pruned { trial: usize, epoch: u64, value: f64, time: u64 },
}

impl Header {
    pub(crate) fn new(
        sampler: Sampler,
        metric: Metric,
        seed: u64,
        space: BTreeMap<String, Json>,
        recipe: String,
    ) -> Self {
        let recipe_sha256 = crate::files::sha256(recipe.as_bytes());
        Self { version: VERSION, sampler, metric, seed, space, recipe_sha256, recipe }
    }

    /// The first thing in which a search that began as `self` differs from `now`.
    fn difference(&self, now: &Self) -> Option<String> {
        let pairs = [
            ("--sampler", self.sampler.name().to_owned(), now.sampler.name().to_owned()),
            ("--metric", self.metric.name().to_owned(), now.metric.name().to_owned()),
            ("--seed", self.seed.to_string(), now.seed.to_string()),
        ];
        for (what, before, after) in pairs {
            if before != after {
                return Some(format!("{what} {before} became {after}"));
            }
        }
        let keys: std::collections::BTreeSet<&String> = self.space.keys().chain(now.space.keys()).collect();
        for key in keys {
            match (self.space.get(key), now.space.get(key)) {
                (Some(before), Some(after)) if before == after => {}
                (Some(before), Some(after)) => {
                    return Some(format!("the space's {key} was {before} and is {after}"));
                }
                (Some(_), None) => return Some(format!("the space no longer has {key}")),
                (None, _) => return Some(format!("the space did not have {key}")),
            }
        }
        let changed = self.recipe.lines().zip(now.recipe.lines()).find(|(before, after)| before != after);
        match changed {
            Some((before, after)) => Some(format!("the recipe's `{before}` became `{after}`")),
            None if self.recipe != now.recipe => Some("lines of the recipe were added or removed".to_owned()),
            None => None,
        }
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Writes the first line into a new folder.
pub(crate) fn begin(folder: &Path, header: Header) -> Result<()> {
    let line = serde_json::to_string(&Line::Search(header)).expect("a header serialises") + "\n";
    crate::files::write_atomic(&folder.join(JOURNAL), line.as_bytes())
}

/// The journal, locked until dropped.
#[derive(Debug)]
pub(crate) struct Journal {
    file: File,
    path: PathBuf,
    header: Header,
    lines: Vec<Line>,
}

impl Journal {
    /// Locks the journal in `folder`, waiting for others, and reads it; a torn last line is cut off and said.
    ///
    /// # Errors
    /// [`Error::Input`] for a damaged line, with its place, and on a file system without locks.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(JOURNAL);
        let mut file = OpenOptions::new().read(true).append(true).open(&path).at(&path)?;
        lock(&file, &path)?;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0)).and_then(|_| file.read_to_end(&mut bytes)).at(&path)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if whole < bytes.len() {
            file.set_len(whole as u64).and_then(|()| file.sync_all()).at(&path)?;
            console::note(format_args!(
                "{}: a stopped process left its last line unfinished ({} bytes); the line is cut off",
                path.display(),
                bytes.len() - whole
            ));
        }
        let text = std::str::from_utf8(&bytes[..whole]);
        let text = text.map_err(|_| Error::Input(format!("{}: is damaged: not UTF-8", path.display())))?;
        let mut lines = Vec::new();
        for (number, line) in (1u64..).zip(text.lines()) {
            let damaged = |e| at_line(&path, number, format_args!("is damaged: {e}"));
            lines.push(serde_json::from_str::<Line>(line).map_err(damaged)?);
        }
        if lines.is_empty() {
            return Err(at_line(&path, 1, "is no journal of a search; begin anew with --overwrite"));
        }
        let Line::Search(header) = lines.remove(0) else {
            return Err(at_line(&path, 1, "is damaged: it does not say what is searched"));
        };
        if header.version != VERSION {
            let reason = format!(
                "is of version {}, and this program's is {VERSION}; use the one that began it",
                header.version
            );
            return Err(at_line(&path, 1, reason));
        }
        Ok(Self { file, path, header, lines })
    }

    /// Refuses to go on with a search that began as another.
    pub(crate) fn check(&self, now: &Header) -> Result<()> {
        match self.header.difference(now) {
            None => Ok(()),
            Some(difference) => Err(Error::Input(format!(
                "{}: the search has changed since it began ({difference}); go on as it began, give another --out, or begin \
                 anew with --overwrite",
                self.path.display()
            ))),
        }
    }

    /// What has happened so far, after the first line.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// Adds a line, which is on the disk when this returns.
    pub(crate) fn add(&mut self, line: Line) -> Result<()> {
        let text = serde_json::to_string(&line).expect("a line serialises") + "\n";
        self.file.write_all(text.as_bytes()).and_then(|()| self.file.sync_data()).at(&self.path)?;
        self.lines.push(line);
        Ok(())
    }

    /// The error for a line that contradicts those before it; `place` is its place in [`Self::lines`].
    pub(crate) fn contradiction(&self, place: usize, reason: &str) -> Error {
        at_line(&self.path, place as u64 + 2, format_args!("is damaged: {reason}"))
    }
}

fn lock(file: &File, path: &Path) -> Result<()> {
    loop {
        match file.lock() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                return Err(Error::Input(format!(
                    "{}: this file system has no file locks, which a search needs; choose --out on another (Lustre has them \
                     when mounted with `flock`)",
                    path.display()
                )));
            }
            locked => return locked.at(path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(crate) fn header(seed: u64) -> Header {
        let space = [("adapter.0.r".to_owned(), serde_json::json!([2, 4]))].into();
        Header::new(Sampler::Gp, Metric::Auroc, seed, space, "seed = 1\nmax_tokens = 40\n".to_owned())
    }

    #[test]
    fn a_torn_last_line_is_cut_off_at_every_length_and_the_rest_kept() {
        let folder = tempfile::tempdir().unwrap();
        begin(folder.path(), header(1)).unwrap();
        let epoch = |epoch| Line::Epoch { trial: 1, epoch, value: 0.1 + 0.2, time: 5 };
        Journal::open(folder.path()).unwrap().add(epoch(1)).unwrap();
        let path = folder.path().join(JOURNAL);
        let kept = std::fs::read(&path).unwrap();
        Journal::open(folder.path()).unwrap().add(epoch(2)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        for torn in kept.len()..whole.len() {
            std::fs::write(&path, &whole[..torn]).unwrap();
            let mut journal = Journal::open(folder.path()).unwrap();
            assert_eq!(journal.lines(), [epoch(1)], "{torn}");
            journal.add(epoch(2)).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), whole, "{torn}");
        }
        std::fs::write(&path, [&kept[..kept.len() - 3], b"\n", &whole[kept.len()..]].concat()).unwrap();
        let error = Journal::open(folder.path()).expect_err("damaged before its end").to_string();
        assert!(error.contains("journal.jsonl:2: is damaged"), "{error}");
    }

    #[test]
    fn a_search_that_changed_is_refused_with_the_difference() {
        let before = header(1);
        assert_eq!(before.difference(&header(1)), None);
        assert!(before.difference(&header(2)).unwrap().contains("--seed 1 became 2"));
        let mut space = header(1);
        space.space.insert("adapter.0.r".to_owned(), serde_json::json!([2, 8]));
        assert!(before.difference(&space).unwrap().contains("adapter.0.r was [2,4] and is [2,8]"));
        let mut recipe = header(1);
        recipe.recipe = "seed = 1\nmax_tokens = 50\n".to_owned();
        assert!(before.difference(&recipe).unwrap().contains("`max_tokens = 40` became `max_tokens = 50`"));
    }
}
