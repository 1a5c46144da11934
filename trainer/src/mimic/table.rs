//! A table of MIMIC as it lies in a folder: plain or gzipped, its columns in any order and in either case.

use std::borrow::Cow;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::read::MultiGzDecoder;

use super::csv::{Reader, Stop, TextRecord};
use super::defects::{Defect, DefectKind, Ledger, Problem};
use super::timestamp::Timestamp;
use crate::error::{AtPath, Error, Result};
use crate::training::interrupt;
use crate::training::progress::Progress;

/// Texts that pandas reads as a missing value.
const NULLS: [&str; 18] = [
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A",
    "NA", "NULL", "NaN", "n/a", "nan", "null",
];

/// Bytes of the longest of them.
const LONGEST_NULL: usize = 8;

/// Rows between looks at the clock.
const ROWS_A_LOOK: u64 = 1 << 12;

/// Whether pandas reads `text` as missing.
fn is_null(text: &str) -> bool {
    text.len() <= LONGEST_NULL && NULLS.contains(&text)
}

/// File of table `name` in `folder`: `NAME.csv` or `NAME.csv.gz`, in either case; the plain one if both are there.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub(super) fn find(folder: &Path, name: &str) -> Result<Option<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(folder).at(folder)? {
        let entry = entry.at(folder)?;
        let file = entry.file_name().to_string_lossy().to_lowercase();
        let table = file.strip_suffix(".gz").unwrap_or(&file).strip_suffix(".csv");
        if table == Some(&name.to_lowercase()) {
            found.push(entry.path());
        }
    }
    found.sort_by_key(|path| (is_gzip(path), path.clone()));
    Ok(found.into_iter().next())
}

/// As [`find`], for a table that must be there.
///
/// # Errors
/// [`Error::Input`] if it is not.
pub(super) fn require(folder: &Path, name: &str) -> Result<PathBuf> {
    find(folder, name)?.ok_or_else(|| {
        Error::Input(format!("{}: no table {name} ({name}.csv or {name}.csv.gz)", folder.display()))
    })
}

fn is_gzip(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("gz"))
}

/// A row whose fields are UTF-8 and as many as the header's. Columns are named by their place in the list the table was
/// opened with.
pub(super) struct Row<'a> {
    record: TextRecord<'a>,
    places: &'a [usize],
    names: &'static [&'static str],
}

impl<'a> Row<'a> {
    /// Content of a column.
    pub(super) fn text(&self, column: usize) -> Cow<'a, str> {
        self.record.field(self.places[column])
    }

    /// Content of a column, none if it is missing.
    pub(super) fn optional_text(&self, column: usize) -> Option<Cow<'a, str>> {
        Some(self.text(column)).filter(|text| !is_null(text))
    }

    /// Whether a column is missing; as [`optional_text`](Self::optional_text), without a copy of a long text.
    pub(super) fn is_missing(&self, column: usize) -> bool {
        self.record.field_bytes(self.places[column]) <= 2 * LONGEST_NULL && is_null(&self.text(column))
    }

    /// Whole number in a column.
    pub(super) fn number(&self, column: usize) -> std::result::Result<u32, Defect> {
        let missing = || Defect::new(DefectKind::MissingValue, self.names[column]);
        self.optional_number(column)?.ok_or_else(missing)
    }

    /// Whole number in a column, none if it is missing.
    pub(super) fn optional_number(&self, column: usize) -> std::result::Result<Option<u32>, Defect> {
        let text = self.text(column);
        let digit = |number: u32, byte: u8| {
            let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
            number.checked_mul(10)?.checked_add(u32::from(digit))
        };
        match text.bytes().try_fold(0, digit) {
            Some(number) if !text.is_empty() => Ok(Some(number)),
            _ if is_null(&text) => Ok(None),
            _ => Err(Defect::new(DefectKind::NotANumber, self.names[column])),
        }
    }

    /// Moment in a column.
    pub(super) fn timestamp(&self, column: usize) -> std::result::Result<Timestamp, Defect> {
        let missing = || Defect::new(DefectKind::MissingValue, self.names[column]);
        self.optional_timestamp(column)?.ok_or_else(missing)
    }

    /// Moment in a column, none if it is missing.
    pub(super) fn optional_timestamp(&self, column: usize) -> std::result::Result<Option<Timestamp>, Defect> {
        let text = self.text(column);
        if is_null(&text) {
            return Ok(None);
        }
        let impossible = || Defect::new(DefectKind::ImpossibleDate, self.names[column]);
        Timestamp::parse(&text).map(Some).ok_or_else(impossible)
    }

    /// A defect of `column`.
    pub(super) fn defect(&self, kind: DefectKind, column: usize) -> Problem {
        Problem::Defect(Defect::new(kind, self.names[column]))
    }

    /// Line on which a column's content begins.
    pub(super) fn line_of(&self, column: usize) -> u64 {
        self.record.line_of(self.places[column])
    }
}

/// What reading a table came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    /// Rows, the defective ones included.
    pub(super) rows: u64,
    /// Rows that were used.
    pub(super) used: u64,
}

/// Reads `path` from end to end: `use_row` gets every row that has all fields, and what it finds wrong is counted. `columns`
/// are the names asked for.
///
/// # Errors
/// A file that cannot be read; a missing column or header; more defects than `ledger` tolerates; whatever `use_row` cannot
/// go on with.
pub(super) fn read(
    path: &Path,
    columns: &'static [&'static str],
    ledger: &mut Ledger,
    mut use_row: impl FnMut(&Row<'_>) -> std::result::Result<(), Problem>,
) -> Result<Counts> {
    let bytes = fs::metadata(path).at(path)?.len();
    let title = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let mut progress = Progress::of_bytes(&title, bytes);
    let (input, done) = open(path)?;
    let mut reader = Reader::new(input);
    let mut counts = Counts { rows: 0, used: 0 };
    let Some((width, places)) = read_header(path, &mut reader, columns, ledger)? else {
        return Ok(counts);
    };
    loop {
        let line = reader.line();
        let record = match reader.next_record() {
            Ok(Some(record)) => record,
            Ok(None) => break,
            Err(stop) => {
                let (line, kind) = stop_kind(path, line, stop)?;
                ledger.add(path, line, Defect { kind, column: None })?;
                break;
            }
        };
        counts.rows += 1;
        let line = record.line();
        let result = if record.len() == width {
            match record.text() {
                Ok(text) => use_row(&Row { record: text, places: &places, names: columns }),
                Err(field) => {
                    let column = places.iter().position(|place| *place == field).map(|i| columns[i]);
                    let kind = DefectKind::InvalidUtf8;
                    Err(Defect { kind, column }.into())
                }
            }
        } else {
            let kind = DefectKind::WrongFieldCount;
            Err(Defect { kind, column: None }.into())
        };
        match result {
            Ok(()) => counts.used += 1,
            Err(Problem::Defect(defect)) => ledger.add(path, line, defect)?,
            Err(Problem::Fatal(error)) => return Err(error),
        }
        if counts.rows.is_multiple_of(ROWS_A_LOOK) {
            if let Some(signal) = interrupt::requested() {
                return Err(Error::Stopped { signal });
            }
            progress.set(done.load(Ordering::Relaxed), || format!("{} rows", counts.rows));
        }
    }
    ledger.check()?;
    Ok(counts)
}

/// Number of columns, and the places of those asked for; none if the table does not even have a header and that is
/// tolerated.
fn read_header(
    path: &Path,
    reader: &mut Reader<impl Read>,
    columns: &'static [&'static str],
    ledger: &mut Ledger,
) -> Result<Option<(usize, Vec<usize>)>> {
    let header = match reader.next_record() {
        Ok(Some(header)) => header,
        Ok(None) => {
            let kind = DefectKind::EmptyTable;
            return Err(Error::Input(format!("{}:1: {kind}: there is no header", path.display())));
        }
        Err(stop) => {
            let (line, kind) = stop_kind(path, 1, stop)?;
            ledger.add(path, line, Defect { kind, column: None })?;
            ledger.check()?;
            return Ok(None);
        }
    };
    let names: Vec<String> =
        (0..header.len()).map(|i| String::from_utf8_lossy(&header.field(i)).to_uppercase()).collect();
    let place = |column: &&str| names.iter().position(|name| name == &column.to_uppercase());
    let missing: Vec<&str> = columns.iter().filter(|column| place(column).is_none()).copied().collect();
    if !missing.is_empty() {
        let kind = DefectKind::MissingColumn;
        return Err(Error::Input(format!("{}:1: {kind} {}", path.display(), missing.join(", "))));
    }
    Ok(Some((names.len(), columns.iter().filter_map(place).collect())))
}

/// Line and kind of what ended a stream early; an error if it was the system.
fn stop_kind(path: &Path, line: u64, stop: Stop) -> Result<(u64, DefectKind)> {
    match stop {
        Stop::UnclosedQuote { line } => Ok((line, DefectKind::UnclosedQuote)),
        Stop::Io(error) if is_gzip(path) => match error.kind() {
            io::ErrorKind::UnexpectedEof => Ok((line, DefectKind::TruncatedGzip)),
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => Ok((line, DefectKind::DamagedGzip)),
            _ => Err(error).at(path),
        },
        Stop::Io(error) => Err(error).at(path),
    }
}

/// The content of `path`, and a count of the bytes read of the file itself.
fn open(path: &Path) -> Result<(Box<dyn Read>, Arc<AtomicU64>)> {
    let done = Arc::new(AtomicU64::new(0));
    let file = Counted { file: File::open(path).at(path)?, done: Arc::clone(&done) };
    let input: Box<dyn Read> = if is_gzip(path) {
        Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(1 << 18, file)))
    } else {
        Box::new(file)
    };
    Ok((input, done))
}

struct Counted {
    file: File,
    done: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.done.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
