//! How one shard arrives: where to begin, what an answer means, when to try again, and whether it is right.
//!
//! No request and no clock in here: the caller asks, waits and stores, this decides. A shard is hashed as it comes. An
//! answer that ends early is continued by a `Range` from the byte reached; a wrong hash throws away this shard only.

use sha2::{Digest, Sha256};

use super::ledger::hex;
use super::protocol::Failure;
use super::shards::Shard;

/// Downloads that bring nothing new before giving up: with the waits between them, a quarter of a minute.
const FRUITLESS_ATTEMPTS: u32 = 6;

/// Complete downloads whose hash is wrong before giving up: the first may be the line's fault, the second is the file's.
const WRONG_HASHES: u32 = 2;

/// The state of one shard's download.
pub struct Download {
    shard: Shard,
    received: u64,
    hash: Sha256,
    fruitless: u32,
    wrong_hashes: u32,
}

/// Where the bytes of an answer belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// They continue what is stored.
    Continue,
    /// They are the whole shard: empty what is stored.
    Restart,
    /// There is nothing usable in this answer; ask again for the whole shard.
    AskAgain,
}

/// What to do when an answer has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Every byte is there and the hash is right.
    Finished,
    /// Ask again after a pause.
    Retry {
        /// The pause.
        wait_ms: u32,
    },
    /// It cannot be had.
    GiveUp(Failure),
}

impl Download {
    /// A shard of which nothing is here.
    #[must_use]
    pub fn new(shard: Shard) -> Self {
        Self { shard, received: 0, hash: Sha256::new(), fruitless: 0, wrong_hashes: 0 }
    }

    /// What is fetched.
    #[must_use]
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Bytes stored so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Whether all bytes are here, so that nothing has to be asked.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.received == self.shard.bytes
    }

    /// Value of the `Range` header to send, if part of the shard is here.
    #[must_use]
    pub fn range(&self) -> Option<String> {
        (self.received > 0).then(|| format!("bytes={}-", self.received))
    }

    /// Judges the head of an answer.
    ///
    /// # Errors
    /// [`Failure::Missing`] where asking again cannot help.
    pub fn answer(&mut self, status: u16, content_range: Option<&str>) -> Result<Begin, Failure> {
        match status {
            206 if content_range.and_then(range_start) == Some(self.received) => Ok(Begin::Continue),
            200 => {
                self.restart();
                Ok(Begin::Restart)
            }
            // Another part than asked for, or a shard that has become shorter.
            206 | 416 => {
                self.restart();
                Ok(Begin::AskAgain)
            }
            401 | 403 | 404 | 410 | 451 => Err(Failure::Missing { path: self.shard.path.clone(), status }),
            _ => Ok(Begin::AskAgain),
        }
    }

    /// Forgets every byte: what is stored must be emptied too.
    pub fn restart(&mut self) {
        self.received = 0;
        self.hash = Sha256::new();
    }

    /// Takes the next bytes; false if they are more than the shard has, which is then of another version.
    #[must_use]
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        let after = self.received + bytes.len() as u64;
        if after > self.shard.bytes {
            return false;
        }
        if !bytes.is_empty() {
            self.fruitless = 0;
        }
        self.received = after;
        self.hash.update(bytes);
        true
    }

    /// Judges what is here once an answer has ended, for good or ill. After a wrong hash nothing of it is kept.
    pub fn end(&mut self) -> Next {
        if !self.is_complete() {
            return self.retry();
        }
        if hex(&self.hash.clone().finalize()) == self.shard.sha256 {
            return Next::Finished;
        }
        self.wrong()
    }

    /// The bytes are not those of the manifest.
    pub fn wrong(&mut self) -> Next {
        self.restart();
        self.wrong_hashes += 1;
        if self.wrong_hashes >= WRONG_HASHES {
            return Next::GiveUp(Failure::Damaged { path: self.shard.path.clone() });
        }
        Next::Retry { wait_ms: 0 }
    }

    fn retry(&mut self) -> Next {
        self.fruitless += 1;
        if self.fruitless >= FRUITLESS_ATTEMPTS {
            let path = self.shard.path.clone();
            return Next::GiveUp(Failure::Cut {
                path,
                received_bytes: self.received,
                shard_bytes: self.shard.bytes,
            });
        }
        Next::Retry { wait_ms: back_off_ms(self.fruitless) }
    }
}

/// 0.5 s, doubled for each attempt in a row that brought nothing.
fn back_off_ms(fruitless: u32) -> u32 {
    500 << fruitless.saturating_sub(1).min(5)
}

/// First byte of a `Content-Range` such as `bytes 100-199/200`.
fn range_start(content_range: &str) -> Option<u64> {
    let (start, _) = content_range.trim().strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: &[u8] = b"weights of a shard";

    fn download() -> Download {
        let shard = Shard {
            path: "shard-0.bin".into(),
            bytes: BYTES.len() as u64,
            sha256: hex(&Sha256::digest(BYTES)),
        };
        Download::new(shard)
    }

    #[test]
    fn a_cut_answer_is_continued_from_the_byte_reached() {
        let mut download = download();
        assert_eq!(download.range(), None);
        assert_eq!(download.answer(200, None), Ok(Begin::Restart));
        assert!(download.take(&BYTES[..7]));
        assert_eq!(download.end(), Next::Retry { wait_ms: 500 });
        assert_eq!(download.range().as_deref(), Some("bytes=7-"));
        assert_eq!(download.answer(206, Some("bytes 7-17/18")), Ok(Begin::Continue));
        assert!(download.take(&BYTES[7..]));
        assert_eq!(download.end(), Next::Finished);
    }

    #[test]
    fn a_server_without_ranges_costs_the_bytes_but_not_the_shard() {
        let mut download = download();
        assert!(download.take(&BYTES[..7]));
        assert_eq!(download.answer(200, None), Ok(Begin::Restart));
        assert_eq!(download.received(), 0);
        assert!(download.take(BYTES));
        assert_eq!(download.end(), Next::Finished);
    }

    #[test]
    fn a_range_that_was_not_asked_for_is_never_stored() {
        for range in [Some("bytes 0-17/18"), Some("bytes 8-17/18"), Some("nonsense"), None] {
            let mut download = download();
            assert!(download.take(&BYTES[..7]));
            assert_eq!(download.answer(206, range), Ok(Begin::AskAgain), "{range:?}");
            assert_eq!(download.range(), None);
        }
    }

    #[test]
    fn one_wrong_hash_is_fetched_again_a_second_is_an_error() {
        let mut download = download();
        let mut wrong = BYTES.to_vec();
        wrong[3] ^= 1;
        assert!(download.take(&wrong));
        assert_eq!(download.end(), Next::Retry { wait_ms: 0 });
        assert_eq!(download.received(), 0);
        assert!(download.take(BYTES));
        assert_eq!(download.end(), Next::Finished);

        let mut download = self::download();
        assert!(download.take(&wrong));
        assert_eq!(download.end(), Next::Retry { wait_ms: 0 });
        assert!(download.take(&wrong));
        assert_eq!(download.end(), Next::GiveUp(Failure::Damaged { path: "shard-0.bin".into() }));
    }

    #[test]
    fn a_file_longer_than_its_manifest_says_is_not_taken() {
        let mut download = download();
        assert!(download.take(BYTES));
        assert!(!download.take(b"more"));
    }

    #[test]
    fn waits_grow_and_progress_forgives() {
        let mut download = download();
        let mut waits = Vec::new();
        for byte in 0..2 {
            assert!(download.take(&BYTES[byte..=byte]));
            for _ in 0..3 {
                let Next::Retry { wait_ms } = download.end() else { panic!("too early to give up") };
                waits.push(wait_ms);
            }
        }
        assert_eq!(waits, [500, 1000, 2000, 500, 1000, 2000]);
        let ends: Vec<Next> = (0..3).map(|_| download.end()).collect();
        assert!(matches!(ends[1], Next::Retry { wait_ms: 8000 }), "{ends:?}");
        assert!(matches!(&ends[2], Next::GiveUp(Failure::Cut { received_bytes: 2, .. })), "{ends:?}");
    }

    #[test]
    fn what_is_not_there_is_said_at_once() {
        let mut download = download();
        let missing = Failure::Missing { path: "shard-0.bin".into(), status: 404 };
        assert_eq!(download.answer(404, None), Err(missing));
        assert_eq!(download.answer(503, None), Ok(Begin::AskAgain));
    }
}
