//! The ledger of the store: which shards are whole and verified, and which manifest each address last gave.
//!
//! One line an event, appended and flushed after the bytes it speaks of, so a crash at any moment leaves either the line
//! or a shard that is simply not finished. Each line starts with the first eight hex digits of the SHA-256 of the rest:
//! a torn last line, or anything else that was never written here, is recognised and cut off.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What happened to the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// Every byte of a shard is stored and its hash is right.
    Finished {
        /// Its hash, in lower-case hex: also its name in the store.
        sha256: String,
        /// Its size.
        bytes: u64,
    },
    /// A shard is gone.
    Removed {
        /// Its hash.
        sha256: String,
    },
    /// An address gave this manifest, now stored.
    Opened {
        /// Where it came from.
        address: String,
        /// Hash of the manifest's bytes: also its name in the store.
        manifest: String,
    },
    /// An address is no longer remembered.
    Forgotten {
        /// Where the manifest came from.
        address: String,
    },
}

/// The state after all entries.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    shards: BTreeMap<String, u64>,
    manifests: BTreeMap<String, String>,
}

/// Hex digits of the check before each line.
const CHECK_DIGITS: usize = 8;

impl Ledger {
    /// Reads a ledger; also how many of its bytes are whole lines. What follows them is torn and must be cut off before
    /// more is appended.
    #[must_use]
    pub fn read(bytes: &[u8]) -> (Self, usize) {
        let (mut ledger, mut whole) = (Self::default(), 0);
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            let Some(entry) = parse(line) else { break };
            ledger.apply(&entry);
            whole += line.len();
        }
        (ledger, whole)
    }

    /// Takes note of an entry.
    pub fn apply(&mut self, entry: &Entry) {
        match entry.clone() {
            Entry::Finished { sha256, bytes } => {
                self.shards.insert(sha256, bytes);
            }
            Entry::Removed { sha256 } => {
                self.shards.remove(&sha256);
            }
            Entry::Opened { address, manifest } => {
                self.manifests.insert(address, manifest);
            }
            Entry::Forgotten { address } => {
                self.manifests.remove(&address);
            }
        }
    }

    /// Whether a shard of this hash is whole.
    #[must_use]
    pub fn is_finished(&self, sha256: &str) -> bool {
        self.shards.contains_key(sha256)
    }

    /// Hash and size of every whole shard.
    pub fn shards(&self) -> impl Iterator<Item = (&str, u64)> {
        self.shards.iter().map(|(sha256, bytes)| (sha256.as_str(), *bytes))
    }

    /// Hash of the manifest last read from `address`.
    #[must_use]
    pub fn manifest(&self, address: &str) -> Option<&str> {
        self.manifests.get(address).map(String::as_str)
    }

    /// Every address and the hash of its manifest.
    pub fn manifests(&self) -> impl Iterator<Item = (&str, &str)> {
        self.manifests.iter().map(|(address, manifest)| (address.as_str(), manifest.as_str()))
    }
}

impl Entry {
    /// The line to append.
    #[must_use]
    pub fn line(&self) -> Vec<u8> {
        let json = serde_json::to_string(self).expect("strings and numbers are JSON");
        format!("{} {json}\n", check(json.as_bytes())).into_bytes()
    }
}

fn parse(line: &[u8]) -> Option<Entry> {
    let line = line.strip_suffix(b"\n")?;
    let (checked, json) = line.split_at_checked(CHECK_DIGITS)?;
    let json = json.strip_prefix(b" ")?;
    (checked == check(json).as_bytes()).then(|| serde_json::from_slice(json).ok())?
}

fn check(json: &[u8]) -> String {
    let mut digits = hex(&Sha256::digest(json));
    digits.truncate(CHECK_DIGITS);
    digits
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        vec![
            Entry::Finished { sha256: "aa".into(), bytes: 7 },
            Entry::Opened { address: "http://127.0.0.1/b/".into(), manifest: "cc".into() },
            Entry::Finished { sha256: "bb".into(), bytes: 9 },
            Entry::Removed { sha256: "aa".into() },
        ]
    }

    fn written() -> Vec<u8> {
        entries().iter().flat_map(Entry::line).collect()
    }

    #[test]
    fn what_was_appended_is_read_back() {
        let bytes = written();
        let (ledger, whole) = Ledger::read(&bytes);
        assert_eq!(whole, bytes.len());
        assert_eq!(ledger.shards().collect::<Vec<_>>(), [("bb", 9)]);
        assert_eq!(ledger.manifest("http://127.0.0.1/b/"), Some("cc"));
        assert!(!ledger.is_finished("aa") && ledger.is_finished("bb"));
    }

    #[test]
    fn a_write_cut_anywhere_loses_only_its_own_line() {
        let bytes = written();
        let ends: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(i, _)| i + 1).collect();
        for cut in 0..=bytes.len() {
            let (ledger, whole) = Ledger::read(&bytes[..cut]);
            let lines = ends.iter().filter(|end| **end <= cut).count();
            assert_eq!(whole, ends[..lines].last().copied().unwrap_or(0), "cut at {cut}");
            let mut expected = Ledger::default();
            entries()[..lines].iter().for_each(|entry| expected.apply(entry));
            assert_eq!(ledger, expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_byte_is_not_believed() {
        let bytes = written();
        let first = bytes.iter().position(|byte| *byte == b'\n').expect("a line") + 1;
        for place in 0..first {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1;
            let (ledger, whole) = Ledger::read(&damaged);
            assert_eq!((whole, ledger), (0, Ledger::default()), "byte {place}");
        }
    }
}
