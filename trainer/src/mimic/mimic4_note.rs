//! The pretraining notes: discharge summaries and radiology reports of MIMIC-IV-Note, cleaned, split and tokenised.
//!
//! Cleaning is the authors': marks of de-identification and line ends become blanks, and blanks in a row become one. With a
//! tokenizer, each split is a corpus of token ids that `pretrain` reads through a memory map; without one, a file of JSON
//! lines, from which a base built from scratch trains its tokenizer.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use clinlora_core::tokenizer::Tokenizer;
use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::defects::{DefectCount, DefectKind, Ledger, Problem};
use super::identifiers::{self, IdentifierCount, IdentifierKind, Identifiers};
use super::report::{Stage, Stages, TableRows, defect_lines, identifier_lines, stage_lines};
use super::split::{SPLITS, Split, TENTHS};
use super::{numpy_split, table};
use crate::dataset::tokens::{CorpusWriter, Making};
use crate::error::{AtPath, Error, Result};
use crate::files::{self, NewFolder};
use crate::folders::base;

/// Tables, in the authors' order, and their rows in version 2.2.
const TABLES: [(&str, u64); 2] = [("discharge", 331_794), ("radiology", 2_321_355)];

/// Seed of the authors' split.
const AUTHORS_SEED: u32 = 1234;

/// Bytes of text worked on at once.
const BYTES_AT_ONCE: usize = 16 << 20;

/// What a split keeps apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum NoteSplit {
    /// Patients: 80/10/10 by hash.
    Patient,
    /// Notes: 90 % training, 10 % testing, shuffled as the authors did. Patients are on both sides.
    Note,
}

/// What to prepare, and from what.
#[derive(Debug, Clone)]
pub struct NoteOptions {
    /// Folder of `discharge.csv.gz` and `radiology.csv.gz`, or the folder above their `note`.
    pub mimic4_note: PathBuf,
    /// Folder to make.
    pub out: PathBuf,
    /// A base folder, `tokenizer.json` or `tokenizer.model`; without it the notes are written as text.
    pub tokenizer: Option<PathBuf>,
    /// Longest note, or with packing every sequence, in tokens.
    pub max_tokens: usize,
    /// What is kept apart.
    pub split: NoteSplit,
    /// Lay whole notes end to end rather than cut each.
    pub packing: bool,
    /// Defects tolerated in both tables together.
    pub skip_bad_rows: u64,
    /// Replace `out` if it exists.
    pub overwrite: bool,
}

/// What `prepare notes` came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NotesReport {
    /// Folder of the corpus; not in the file, so that the same tables give the same file.
    #[serde(skip)]
    pub out: PathBuf,
    /// `tokens` or `jsonl`.
    pub format: &'static str,
    /// `patient` or `note`.
    pub split: &'static str,
    /// Where each split lies and its notes; `out` joined with a path is what `data.train` takes.
    pub splits: Vec<SplitNotes>,
    /// Patients in training, and of them also elsewhere.
    pub leak: Leak,
    /// Tables read.
    pub tables: Vec<TableRows>,
    /// From rows to notes.
    pub stages: Vec<Stage>,
    /// Defects that were tolerated.
    pub defects: Vec<DefectCount>,
    /// What looks like an identifier.
    pub identifiers: Vec<IdentifierCount>,
    /// What else a reader must know.
    pub remarks: Vec<String>,
}

/// A split of the corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitNotes {
    /// Which.
    pub name: Split,
    /// Folder or file in `out`.
    pub path: String,
    /// Notes.
    pub notes: u64,
    /// Sequences, where notes are packed; else as many as notes.
    pub sequences: u64,
    /// Token ids; 0 for text.
    pub tokens: u64,
}

/// Notes outside training whose patient has notes in training.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Leak {
    /// Patients with notes in training and elsewhere.
    pub patients: u64,
    /// Their notes elsewhere.
    pub notes: u64,
    /// Share of all notes outside training.
    pub share: f64,
}

impl NotesReport {
    /// The report as text, for a terminal.
    #[must_use]
    pub fn table(&self) -> String {
        let mut lines = stage_lines(&self.stages);
        for split in &self.splits {
            let SplitNotes { name, path, notes, sequences, tokens } = split;
            lines.push(format!(
                "{name:6} {notes:>10} notes {sequences:>10} sequences {tokens:>12} tokens  {}",
                self.out.join(path).display()
            ));
        }
        let Leak { patients, notes, share } = self.leak;
        lines.push(format!(
            "leak: {patients} patients are in training and elsewhere, with {notes} notes elsewhere ({:.2} % of those)",
            100.0 * share
        ));
        lines.extend(defect_lines(&self.defects));
        lines.extend(identifier_lines(&self.identifiers));
        lines.extend(self.remarks.iter().map(|remark| format!("note: {remark}")));
        lines.join("\n")
    }
}

/// Makes the pretraining notes.
///
/// # Errors
/// [`Error::Input`] for tables that are missing or have more defects than tolerated, or a tokenizer that cannot be read;
/// nothing is then left in `out`.
pub fn prepare_notes(options: &NoteOptions) -> Result<NotesReport> {
    if options.packing && options.tokenizer.is_none() {
        return Err(Error::Input("--packing lays token ids end to end; give --tokenizer".to_owned()));
    }
    let folder = NewFolder::create(&options.out, options.overwrite)?;
    let within = options.mimic4_note.join("note");
    let source = if within.is_dir() { &within } else { &options.mimic4_note };
    let paths = TABLES.map(|(name, _)| table::require(source, name));
    let paths: Vec<PathBuf> = paths.into_iter().collect::<Result<_>>()?;
    let mut ledger = Ledger::new(options.skip_bad_rows);
    let mut writer = Writer::create(options, folder.path())?;
    if options.split == NoteSplit::Note {
        let count =
            paths.iter().map(|path| count_notes(path, options.skip_bad_rows)).sum::<Result<usize>>()?;
        writer.is_test = Some(numpy_split::test_places(count, count.div_ceil(10), AUTHORS_SEED));
    }
    let mut tables = Vec::new();
    let mut stages = Stages::default();
    let mut remarks = Vec::new();
    for (path, (name, published)) in paths.iter().zip(TABLES) {
        let before = writer.notes;
        let counts = writer.read(path, &mut ledger)?;
        counts.refuse_empty(path)?;
        let kept = writer.notes - before;
        stages.chain(name, counts.rows, &[("rows without a defect", counts.used), ("with a text", kept)]);
        if counts.rows != published {
            remarks.push(format!(
                "{name} has {} rows and version 2.2 has {published}: another version, or a part of it",
                counts.rows
            ));
        }
        tables.push(TableRows::new(path, counts));
    }
    let leak = writer.leak();
    let tokenised = options.tokenizer.is_some();
    let report = NotesReport {
        out: options.out.clone(),
        format: if tokenised { "tokens" } else { "jsonl" },
        split: match options.split {
            NoteSplit::Patient => "patient",
            NoteSplit::Note => "note",
        },
        leak,
        tables,
        stages: stages.into_vec(),
        defects: ledger.counts(),
        identifiers: std::mem::take(&mut writer.identifiers).into_counts(),
        splits: writer.finish()?,
        remarks,
    };
    let json = serde_json::to_string_pretty(&report).expect("a report serialises");
    files::write_atomic(&folder.path().join("report.json"), json.as_bytes())?;
    folder.finish()?;
    Ok(report)
}

const COLUMNS: &[&str] = &["NOTE_ID", "SUBJECT_ID", "TEXT"];

/// Notes in `path` that [`Writer::read`] will keep.
fn count_notes(path: &Path, tolerated: u64) -> Result<usize> {
    let mut count = 0;
    let mut ids = HashSet::new();
    table::read(path, COLUMNS, &mut Ledger::new(tolerated), |row| {
        if usable(row, &mut ids)?.is_some() {
            count += 1;
        }
        Ok(())
    })?;
    Ok(count)
}

/// Patient of a row that has a text; `ids` are those of the rows before.
fn usable(row: &table::Row<'_>, ids: &mut HashSet<[u8; 16]>) -> std::result::Result<Option<u32>, Problem> {
    let id = row.text(0);
    if id.is_empty() {
        return Err(row.defect(DefectKind::MissingValue, 0));
    }
    let subject = row.number(1)?;
    let digest = Sha256::digest(id.as_bytes());
    if !ids.insert(digest[..16].try_into().expect("a digest has 32 bytes")) {
        return Err(row.defect(DefectKind::DuplicateId, 0));
    }
    let blank = row.text(2).bytes().all(|b| b.is_ascii_whitespace());
    Ok((!blank).then_some(subject))
}

/// `text` as the authors clean it.
fn clean(text: &str) -> String {
    let marked = text.replace("[**", " ").replace("**]", " ");
    let mut cleaned = String::with_capacity(marked.len());
    let mut after_blank = false;
    for c in marked.chars() {
        let blank = matches!(c, ' ' | '\n');
        if !(blank && after_blank) {
            cleaned.push(if blank { ' ' } else { c });
        }
        after_blank = blank;
    }
    cleaned
}

/// A note on its way.
struct Pending {
    id: String,
    split: Split,
    text: String,
    line: u64,
}

/// A note ready to be written.
enum Finished {
    Ids(Vec<u32>),
    Text(String),
}

enum Output {
    Tokens(Vec<CorpusWriter>),
    Text(Vec<(PathBuf, BufWriter<File>)>),
}

struct Writer {
    output: Output,
    tokenizer: Option<(Tokenizer, PathBuf)>,
    /// Tokens a note is cut at; none with packing.
    cut: usize,
    splits: Vec<Split>,
    /// The authors' split, by place among the notes kept.
    is_test: Option<Vec<bool>>,
    notes: u64,
    counts: [u64; 3],
    /// Notes of each patient by split.
    of_patient: HashMap<u32, [u32; 3]>,
    ids: HashSet<[u8; 16]>,
    pending: Vec<Pending>,
    pending_bytes: usize,
    identifiers: Identifiers,
}

impl Writer {
    fn create(options: &NoteOptions, folder: &Path) -> Result<Self> {
        let splits = match options.split {
            NoteSplit::Patient => SPLITS.to_vec(),
            NoteSplit::Note => vec![Split::Train, Split::Test],
        };
        let (output, tokenizer) = match &options.tokenizer {
            Some(path) => {
                let file = base::tokenizer_file(path)?;
                let (tokenizer, sha256) = base::read_tokenizer(&file)?;
                let making = Making {
                    max_tokens: options.max_tokens,
                    packed: options.packing,
                    vocab_size: tokenizer.vocab_size(),
                    tokenizer_sha256: sha256,
                };
                let create = |split: &Split| CorpusWriter::create(&folder.join(split.name()), making.clone());
                let corpora = splits.iter().map(create).collect::<Result<_>>()?;
                (Output::Tokens(corpora), Some((tokenizer, file)))
            }
            None => {
                let create = |split: &Split| {
                    let path = folder.join(format!("{split}.jsonl"));
                    let file = BufWriter::with_capacity(1 << 18, File::create(&path).at(&path)?);
                    Ok((path, file))
                };
                (Output::Text(splits.iter().map(create).collect::<Result<_>>()?), None)
            }
        };
        Ok(Self {
            output,
            tokenizer,
            cut: if options.packing { usize::MAX } else { options.max_tokens },
            splits,
            is_test: None,
            notes: 0,
            counts: [0; 3],
            of_patient: HashMap::new(),
            ids: HashSet::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            identifiers: Identifiers::default(),
        })
    }

    fn read(&mut self, path: &Path, ledger: &mut Ledger) -> Result<table::Counts> {
        let counts = table::read(path, COLUMNS, ledger, |row| {
            let Some(subject) = usable(row, &mut self.ids)? else {
                return Ok(());
            };
            let place = usize::try_from(self.notes).expect("as many as fit in memory");
            let split = match &self.is_test {
                Some(is_test) if is_test[place] => Split::Test,
                Some(_) => Split::Train,
                None => TENTHS.of(subject),
            };
            self.notes += 1;
            self.counts[split as usize] += 1;
            self.of_patient.entry(subject).or_default()[split as usize] += 1;
            let text = row.text(2).into_owned();
            self.pending_bytes += text.len();
            self.pending.push(Pending { id: row.text(0).into_owned(), split, text, line: row.line_of(2) });
            if self.pending_bytes >= BYTES_AT_ONCE {
                self.write_pending(path)?;
            }
            Ok(())
        })?;
        self.write_pending(path)?;
        Ok(counts)
    }

    /// Cleans and tokenises what is pending, on all cores, and writes it in its order.
    fn write_pending(&mut self, path: &Path) -> Result<()> {
        self.pending_bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        let finish = |note: &Pending| -> Result<(Finished, Vec<(IdentifierKind, u64)>)> {
            let found = identifiers::scan(&note.text, note.line);
            let text = clean(&note.text);
            let finished = match &self.tokenizer {
                Some((tokenizer, file)) => Finished::Ids(tokenizer.encode(&text, self.cut).at(file)?),
                None => Finished::Text(text),
            };
            Ok((finished, found))
        };
        let finished: Vec<_> = pending.par_iter().map(finish).collect();
        for (note, finished) in pending.iter().zip(finished) {
            let (finished, found) = finished?;
            self.identifiers.add(path, &found);
            let place = self.splits.iter().position(|split| *split == note.split).expect("a split of these");
            match (&mut self.output, finished) {
                (Output::Tokens(corpora), Finished::Ids(ids)) => corpora[place].push(&ids)?,
                (Output::Text(files), Finished::Text(text)) => {
                    let (path, file) = &mut files[place];
                    writeln!(file, "{}", json!({ "id": note.id, "text": text })).at(path)?;
                }
                _ => unreachable!("a tokenizer decides both"),
            }
        }
        Ok(())
    }

    #[expect(clippy::cast_precision_loss, reason = "counts of notes to print a share")]
    fn leak(&self) -> Leak {
        let straddling =
            self.of_patient.values().filter(|[train, valid, test]| *train > 0 && valid + test > 0);
        let (patients, notes) = straddling.fold((0, 0), |(patients, notes), [_, valid, test]| {
            (patients + 1, notes + u64::from(valid + test))
        });
        let outside = self.counts[1] + self.counts[2];
        Leak { patients, notes, share: notes as f64 / outside.max(1) as f64 }
    }

    fn finish(self) -> Result<Vec<SplitNotes>> {
        let mut splits = Vec::new();
        match self.output {
            Output::Tokens(corpora) => {
                for (split, corpus) in self.splits.into_iter().zip(corpora) {
                    let header = corpus.finish()?;
                    splits.push(SplitNotes {
                        name: split,
                        path: split.name().to_owned(),
                        notes: self.counts[split as usize],
                        sequences: header.notes,
                        tokens: header.tokens,
                    });
                }
            }
            Output::Text(files) => {
                for (split, (path, mut file)) in self.splits.into_iter().zip(files) {
                    file.flush().and_then(|()| file.get_ref().sync_all()).at(&path)?;
                    let notes = self.counts[split as usize];
                    splits.push(SplitNotes {
                        name: split,
                        path: format!("{split}.jsonl"),
                        notes,
                        sequences: notes,
                        tokens: 0,
                    });
                }
            }
        }
        Ok(splits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_line_ends_and_blanks_in_a_row_become_one_blank() {
        assert_eq!(
            clean("Mr. [**Known lastname 123**]  \n\n x\ty\r\n z "),
            "Mr. Known lastname 123 x\ty\r z "
        );
        assert_eq!(clean(" a"), " a");
    }
}
