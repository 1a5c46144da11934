//! A corpus of token ids on disk: notes of any number, each read in one step through a memory map.
//!
//! A folder with `tokens.bin`, the ids one note after the other, two bytes each where the vocabulary allows, else four;
//! `offsets.bin`, eight bytes for the start of each note, in ids, and one more for the end; and `corpus.json`, which says how
//! they were made. All numbers are little-endian. The hash of the tokenizer's file is kept, so that a corpus is not fed to a
//! model of another vocabulary.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use super::{Sample, Samples};
use crate::error::{AtPath, Error, Result};
use crate::files;

const TOKENS: &str = "tokens.bin";
const OFFSETS: &str = "offsets.bin";
const HEADER: &str = "corpus.json";

/// Version of the layout.
const FORMAT: u32 = 1;

/// What a corpus holds and how it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Header {
    format: u32,
    /// Notes, or with `packed` sequences.
    pub(crate) notes: u64,
    /// Ids in all.
    pub(crate) tokens: u64,
    /// Bytes of an id: 2 or 4.
    token_bytes: u32,
    /// Longest note.
    pub(crate) max_tokens: usize,
    /// Whether notes were laid end to end and cut into sequences of `max_tokens`.
    pub(crate) packed: bool,
    /// Ids of the tokenizer.
    vocab_size: usize,
    /// SHA-256 of the tokenizer's file.
    pub(crate) tokenizer_sha256: String,
}

/// How a corpus is made.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    pub(crate) max_tokens: usize,
    pub(crate) packed: bool,
    pub(crate) vocab_size: usize,
    pub(crate) tokenizer_sha256: String,
}

/// Writes a corpus note by note.
pub(crate) struct CorpusWriter {
    folder: PathBuf,
    tokens: BufWriter<File>,
    offsets: BufWriter<File>,
    header: Header,
    /// Ids of an unfinished sequence, with packing.
    open: Vec<u32>,
}

impl CorpusWriter {
    /// Begins a corpus in a new folder.
    pub(crate) fn create(folder: &Path, making: Making) -> Result<Self> {
        fs::create_dir_all(folder).at(folder)?;
        let create = |name: &str| {
            let path = folder.join(name);
            Ok(BufWriter::with_capacity(1 << 18, File::create(&path).at(&path)?))
        };
        let mut writer = Self {
            folder: folder.to_owned(),
            tokens: create(TOKENS)?,
            offsets: create(OFFSETS)?,
            header: Header {
                format: FORMAT,
                notes: 0,
                tokens: 0,
                token_bytes: if making.vocab_size <= 1 << 16 { 2 } else { 4 },
                max_tokens: making.max_tokens,
                packed: making.packed,
                vocab_size: making.vocab_size,
                tokenizer_sha256: making.tokenizer_sha256,
            },
            open: Vec::new(),
        };
        writer.offsets.write_all(&0u64.to_le_bytes()).at(folder)?;
        Ok(writer)
    }

    /// Adds a note: all its ids if notes are packed, else those up to the longest length.
    pub(crate) fn push(&mut self, ids: &[u32]) -> Result<()> {
        if !self.header.packed {
            return self.write(ids);
        }
        let length = self.header.max_tokens;
        let mut open = std::mem::take(&mut self.open);
        open.extend(ids);
        let mut sequences = open.chunks_exact(length);
        for sequence in &mut sequences {
            self.write(sequence)?;
        }
        self.open = sequences.remainder().to_vec();
        Ok(())
    }

    fn write(&mut self, ids: &[u32]) -> Result<()> {
        for id in ids {
            let bytes = id.to_le_bytes();
            self.tokens.write_all(&bytes[..self.header.token_bytes as usize]).at(&self.folder)?;
        }
        self.header.notes += 1;
        self.header.tokens += ids.len() as u64;
        self.offsets.write_all(&self.header.tokens.to_le_bytes()).at(&self.folder)
    }

    /// Completes the corpus; a last sequence that is not full is written as it is.
    pub(crate) fn finish(mut self) -> Result<Header> {
        let rest = std::mem::take(&mut self.open);
        if !rest.is_empty() {
            self.write(&rest)?;
        }
        for file in [&mut self.tokens, &mut self.offsets] {
            file.flush().and_then(|()| file.get_ref().sync_all()).at(&self.folder)?;
        }
        let json = serde_json::to_string_pretty(&self.header).expect("a header serialises");
        files::write_atomic(&self.folder.join(HEADER), json.as_bytes())?;
        Ok(self.header)
    }
}

/// A corpus, open for reading.
#[derive(Debug)]
pub(crate) struct TokenCorpus {
    folder: PathBuf,
    pub(crate) header: Header,
    tokens: Mmap,
    offsets: Mmap,
    /// Notes are cut at this many tokens.
    max_tokens: usize,
}

impl TokenCorpus {
    /// Whether `path` is a corpus rather than a file of notes.
    pub(crate) fn is_at(path: &Path) -> bool {
        path.join(HEADER).is_file()
    }

    /// Opens the corpus in `folder`, made with the tokenizer of this hash; notes are cut at `max_tokens`.
    ///
    /// # Errors
    /// [`Error::Input`] for files that do not fit each other, another tokenizer, or notes that were cut shorter.
    pub(crate) fn open(folder: &Path, tokenizer_sha256: &str, max_tokens: usize) -> Result<Self> {
        let path = folder.join(HEADER);
        let header: Header = serde_json::from_slice(&files::read(&path)?)
            .map_err(|e| Error::Input(format!("{}: {e}", path.display())))?;
        let refuse = |reason: String| Err(Error::Input(format!("{}: {reason}", folder.display())));
        if header.format != FORMAT || !matches!(header.token_bytes, 2 | 4) {
            return refuse(format!("a corpus of format {}; this program reads {FORMAT}", header.format));
        }
        if header.tokenizer_sha256 != tokenizer_sha256 {
            return refuse(
                "tokenised with another tokenizer than the base's; run `clinlora prepare notes` with --tokenizer of the base"
                    .to_owned(),
            );
        }
        if header.max_tokens < max_tokens {
            return refuse(format!(
                "its notes were cut at {} tokens and max_tokens = {max_tokens}; run `clinlora prepare notes` with \
                 --max-tokens {max_tokens}",
                header.max_tokens
            ));
        }
        let corpus = Self {
            folder: folder.to_owned(),
            tokens: map(&folder.join(TOKENS))?,
            offsets: map(&folder.join(OFFSETS))?,
            header,
            max_tokens,
        };
        let header = &corpus.header;
        let fits = Some(corpus.tokens.len() as u64)
            == header.tokens.checked_mul(u64::from(header.token_bytes))
            && Some(corpus.offsets.len() as u64)
                == header.notes.checked_add(1).and_then(|n| n.checked_mul(8));
        if !fits || header.notes == 0 {
            return refuse(format!(
                "{TOKENS}, {OFFSETS} and {HEADER} do not fit each other; prepare it again"
            ));
        }
        Ok(corpus)
    }

    fn offset(&self, place: usize) -> u64 {
        let bytes = &self.offsets[8 * place..8 * place + 8];
        u64::from_le_bytes(bytes.try_into().expect("eight bytes"))
    }

    fn ids(&self, place: usize) -> Option<Vec<u32>> {
        let width = self.header.token_bytes as usize;
        let (start, end) = (self.offset(place), self.offset(place + 1));
        let end = end.min(start.saturating_add(self.max_tokens as u64));
        let range = usize::try_from(start).ok()? * width..usize::try_from(end).ok()? * width;
        let id = |bytes: &[u8]| bytes.iter().rev().fold(0u32, |id, byte| id << 8 | u32::from(*byte));
        let ids: Vec<u32> = self.tokens.get(range)?.chunks_exact(width).map(id).collect();
        let known = ids.iter().all(|id| (*id as usize) < self.header.vocab_size);
        (known && !ids.is_empty()).then_some(ids)
    }
}

impl Samples for TokenCorpus {
    fn count(&self) -> usize {
        self.offsets.len() / 8 - 1
    }

    fn sample(&self, place: usize) -> Result<Cow<'_, Sample>> {
        let damaged =
            || Error::Input(format!("{}: note {place} is damaged; prepare it again", self.folder.display()));
        Ok(Cow::Owned(Sample {
            id: place.to_string(),
            ids: self.ids(place).ok_or_else(damaged)?,
            target: Vec::new(),
        }))
    }
}

fn map(path: &Path) -> Result<Mmap> {
    let file = File::open(path).at(path)?;
    // SAFETY: the map is read-only, and every number read from it is checked before it is used. A file that another
    // program shortens meanwhile ends this one, as it would with any reader that maps its input.
    unsafe { Mmap::map(&file) }.at(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: [&[u32]; 4] = [&[1, 5, 599], &[1, 7], &[1, 2, 3, 4, 6], &[1]];

    fn write(folder: &Path, packed: bool, vocab_size: usize) -> Header {
        let making = Making { max_tokens: 4, packed, vocab_size, tokenizer_sha256: "abc".into() };
        let mut writer = CorpusWriter::create(folder, making).unwrap();
        for note in NOTES {
            writer.push(if packed { note } else { &note[..note.len().min(4)] }).unwrap();
        }
        writer.finish().unwrap()
    }

    fn ids(corpus: &TokenCorpus) -> Vec<Vec<u32>> {
        (0..corpus.count()).map(|place| corpus.sample(place).unwrap().ids.clone()).collect()
    }

    #[test]
    fn notes_come_back_from_either_width_and_cut_shorter() {
        for vocab_size in [600, 70_000] {
            let folder = tempfile::tempdir().unwrap();
            let header = write(folder.path(), false, vocab_size);
            assert_eq!((header.notes, header.tokens), (4, 10));
            let corpus = TokenCorpus::open(folder.path(), "abc", 4).unwrap();
            assert_eq!(ids(&corpus), [&[1, 5, 599][..], &[1, 7], &[1, 2, 3, 4], &[1]]);
            let corpus = TokenCorpus::open(folder.path(), "abc", 2).unwrap();
            assert_eq!(ids(&corpus), [&[1, 5][..], &[1, 7], &[1, 2], &[1]]);
        }
    }

    #[test]
    fn packed_notes_fill_sequences_and_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), true, 600);
        let corpus = TokenCorpus::open(folder.path(), "abc", 4).unwrap();
        assert_eq!(ids(&corpus), [&[1, 5, 599, 1][..], &[7, 1, 2, 3], &[4, 6, 1]]);
    }

    #[test]
    fn another_tokenizer_longer_notes_and_damage_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), false, 600);
        let open = |sha: &str, max_tokens| {
            TokenCorpus::open(folder.path(), sha, max_tokens).unwrap_err().to_string()
        };
        assert!(open("abd", 4).contains("another tokenizer"));
        assert!(open("abc", 5).contains("--max-tokens 5"));
        let tokens = folder.path().join(TOKENS);
        let mut bytes = fs::read(&tokens).unwrap();
        bytes[5] = 0xFF; // 599 becomes an id beyond the vocabulary
        fs::write(&tokens, &bytes).unwrap();
        let corpus = TokenCorpus::open(folder.path(), "abc", 4).unwrap();
        assert!(corpus.sample(0).unwrap_err().to_string().contains("note 0 is damaged"));
        assert!(corpus.sample(1).is_ok());
        fs::write(&tokens, &bytes[1..]).unwrap();
        assert!(open("abc", 4).contains("do not fit"));
    }
}
