//! Which split a patient, an admission or a note belongs to.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::defects::{DefectKind, Ledger};
use super::table;
use crate::error::{Error, Result};

/// A part of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing.
    Valid,
    /// For reporting.
    Test,
}

/// All of them.
pub(super) const SPLITS: [Split; 3] = [Split::Train, Split::Valid, Split::Test];

impl Split {
    /// As in file names.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }

    /// Reads a name; `val` and `dev` are names of [`Valid`](Self::Valid) elsewhere.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "train" => Some(Self::Train),
            "valid" | "val" | "dev" => Some(Self::Valid),
            "test" => Some(Self::Test),
            _ => None,
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Percent of the hashes in training and validation; the rest is for testing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Shares {
    pub(super) train: u64,
    pub(super) valid: u64,
}

/// Patients of the tasks: 70/10/20.
pub(super) const PATIENTS: Shares = Shares { train: 70, valid: 10 };

/// Tenths of 80/10/10: admissions of the ventilation task, patients of the pretraining notes.
pub(super) const TENTHS: Shares = Shares { train: 80, valid: 10 };

impl Shares {
    /// Split of `id`: the first eight bytes of the SHA-256 of its decimal digits, big-endian, modulo 100.
    pub(super) fn of(self, id: u32) -> Split {
        let digest = Sha256::digest(id.to_string());
        let first: [u8; 8] = digest[..8].try_into().expect("a digest has 32 bytes");
        match u64::from_be_bytes(first) % 100 {
            hash if hash < self.train => Split::Train,
            hash if hash < self.train + self.valid => Split::Valid,
            _ => Split::Test,
        }
    }
}

/// How patients are split.
#[derive(Debug)]
pub(super) enum Patients {
    /// By hash.
    Hashed,
    /// By lists; a patient on none of them is left out.
    Listed(HashMap<u32, Split>),
}

impl Patients {
    /// Split of a patient.
    pub(super) fn split(&self, subject: u32) -> Option<Split> {
        match self {
            Self::Hashed => Some(PATIENTS.of(subject)),
            Self::Listed(lists) => lists.get(&subject).copied(),
        }
    }

    /// Reads `mimic_train.csv`, `mimic_val.csv` and `mimic_test.csv` in `folder`: a column `SUBJECT_ID`, one row an
    /// admission.
    ///
    /// # Errors
    /// A list that is missing or damaged; a patient on two of them, if not tolerated.
    pub(super) fn read_lists(folder: &Path, ledger: &mut Ledger) -> Result<Self> {
        let mut lists = HashMap::new();
        for (split, names) in [
            (Split::Train, ["mimic_train", "train"]),
            (Split::Valid, ["mimic_val", "valid"]),
            (Split::Test, ["mimic_test", "test"]),
        ] {
            let path = list(folder, &names)?;
            let counts = table::read(&path, &["SUBJECT_ID"], ledger, |row| {
                let subject = row.number(0)?;
                match lists.insert(subject, split) {
                    Some(other) if other != split => {
                        lists.insert(subject, other);
                        Err(row.defect(DefectKind::PatientInTwoSplits, 0))
                    }
                    _ => Ok(()),
                }
            })?;
            counts.refuse_empty(&path)?;
        }
        Ok(Self::Listed(lists))
    }
}

fn list(folder: &Path, names: &[&str]) -> Result<PathBuf> {
    for name in names {
        if let Some(path) = table::find(folder, name)? {
            return Ok(path);
        }
    }
    let message = format!("{}: no patient list {}.csv", folder.display(), names.join(".csv or "));
    Err(Error::Input(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_decides_and_the_shares_come_out() {
        // int.from_bytes(hashlib.sha256(b"10000").digest()[:8], "big") % 100 is 68; of 10013 and 10002 77 and 86
        assert_eq!(SPLITS, [10_000, 10_013, 10_002].map(|id| PATIENTS.of(id)));
        let counts = SPLITS.map(|split| (0..20_000).filter(|id| PATIENTS.of(*id) == split).count());
        for (count, share) in counts.into_iter().zip([14_000, 2_000, 4_000]) {
            assert!(count.abs_diff(share) < 200, "{counts:?}");
        }
    }
}
