//! What a reader thought of a prediction: kept on this machine, exported and erased at will. The note itself is never kept, only
//! its hash.

use serde::{Deserialize, Serialize};

use crate::out::csv;

/// Most characters of a reason.
pub const REASON_CHARACTERS: usize = 2_000;

/// Whether a reader agrees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The prediction seems right.
    Agree,
    /// It seems wrong.
    Disagree,
}

/// One opinion.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// When, in milliseconds since 1970, as the browser counts.
    pub time_ms: f64,
    /// The task.
    pub task: String,
    /// Name of the label it is about.
    pub label: String,
    /// Probability that was shown.
    pub probability: f64,
    /// The opinion.
    pub verdict: Verdict,
    /// Why, in the reader's words; may be empty.
    pub reason: String,
    /// Hash of the note, by [`crate::out::note_hash`].
    pub note_sha256: String,
    /// Hash of the bundle's manifest.
    pub manifest_sha256: String,
}

/// All opinions, in the order given.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Feedback {
    records: Vec<Record>,
}

impl Feedback {
    /// The opinions.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Adds one; a second opinion on the same outcome of the same note and bundle takes the first one's place. The reason is cut
    /// at [`REASON_CHARACTERS`].
    pub fn add(&mut self, mut record: Record) {
        record.reason = record.reason.trim().chars().take(REASON_CHARACTERS).collect();
        let is_same = |other: &Record| {
            (&other.task, &other.label, &other.note_sha256, &other.manifest_sha256)
                == (&record.task, &record.label, &record.note_sha256, &record.manifest_sha256)
        };
        self.records.retain(|other| !is_same(other));
        self.records.push(record);
    }

    /// The opinion on an outcome of a note and a bundle.
    #[must_use]
    pub fn of(&self, task: &str, label: &str, note_sha256: &str, manifest_sha256: &str) -> Option<&Record> {
        let names = (task, label, note_sha256, manifest_sha256);
        self.records.iter().find(|r| {
            (r.task.as_str(), r.label.as_str(), r.note_sha256.as_str(), r.manifest_sha256.as_str()) == names
        })
    }

    /// Erases one; whether there was one at this place.
    pub fn erase(&mut self, place: usize) -> bool {
        let is_there = place < self.records.len();
        if is_there {
            self.records.remove(place);
        }
        is_there
    }

    /// Erases all.
    pub fn erase_all(&mut self) {
        self.records.clear();
    }

    /// One JSON object a line: how they are stored and exported.
    #[must_use]
    pub fn to_lines(&self) -> String {
        let line = |record| {
            serde_json::to_string(record).expect("a record of strings and numbers can be written") + "\n"
        };
        self.records.iter().map(line).collect()
    }

    /// What was stored, and how many lines could not be read: one damaged line must not lose the others.
    #[must_use]
    pub fn from_lines(lines: &str) -> (Self, usize) {
        let mut feedback = Self::default();
        let mut damaged = 0;
        for line in lines.lines().filter(|line| !line.trim().is_empty()) {
            match serde_json::from_str(line) {
                Ok(record) => feedback.records.push(record),
                Err(_) => damaged += 1,
            }
        }
        (feedback, damaged)
    }

    /// The opinions as a table.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let head = [
            "time_ms",
            "task",
            "label",
            "probability",
            "verdict",
            "reason",
            "note_sha256",
            "manifest_sha256",
        ];
        let row = |record: &Record| {
            vec![
                format!("{:.0}", record.time_ms),
                record.task.clone(),
                record.label.clone(),
                format!("{:.6}", record.probability),
                match record.verdict {
                    Verdict::Agree => "agree".to_owned(),
                    Verdict::Disagree => "disagree".to_owned(),
                },
                record.reason.clone(),
                record.note_sha256.clone(),
                record.manifest_sha256.clone(),
            ]
        };
        csv::table([head.map(str::to_owned).to_vec()].into_iter().chain(self.records.iter().map(row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(label: &str, reason: &str) -> Record {
        Record {
            time_ms: 1_764_119_700_123.0,
            task: "MOR".to_owned(),
            label: label.to_owned(),
            probability: 0.184,
            verdict: Verdict::Disagree,
            reason: reason.to_owned(),
            note_sha256: crate::out::note_hash("a note"),
            manifest_sha256: "ab".repeat(32),
        }
    }

    #[test]
    fn records_survive_storing() {
        let mut feedback = Feedback::default();
        feedback.add(record("1", "too high,\n\"young\" \u{1f600}"));
        feedback.add(record("0", "=cmd"));
        let lines = feedback.to_lines();
        assert_eq!(lines.lines().count(), 2);
        assert!(!lines.contains("a note"));
        assert_eq!(Feedback::from_lines(&lines), (feedback.clone(), 0));
        let damaged = format!("{{\"task\":1}}\n\n{lines}nonsense");
        assert_eq!(Feedback::from_lines(&damaged), (feedback.clone(), 2));
        let csv = feedback.to_csv();
        assert!(
            csv.contains("1764119700123,MOR,1,0.184000,disagree,\"too high,\n\"\"young\"\" \u{1f600}\","),
            "{csv}"
        );
        assert!(csv.contains(",'=cmd,"), "{csv}");
    }

    #[test]
    fn opinions_change_and_are_erased() {
        let mut feedback = Feedback::default();
        feedback.add(record("1", "first"));
        feedback.add(record("1", &"x".repeat(9_999)));
        assert_eq!(feedback.records().len(), 1);
        assert_eq!(feedback.records()[0].reason.len(), REASON_CHARACTERS);
        let hash = crate::out::note_hash("a note");
        assert!(feedback.of("MOR", "1", &hash, &"ab".repeat(32)).is_some());
        assert!(feedback.of("MOR", "1", "other", &"ab".repeat(32)).is_none());
        assert!(!feedback.erase(1) && feedback.erase(0));
        feedback.add(record("1", ""));
        feedback.erase_all();
        assert_eq!(feedback.to_lines(), "");
    }
}
