//! Records of a CSV stream: quoted fields may hold line ends, and lines are counted.
//!
//! The grammar is that of the `csv` crate, which reads what pandas reads: a quote that does not open a field is an
//! ordinary character, what follows a closing quote belongs to the field, line ends are LF, CR or both, and blank lines are
//! no records. Two things differ: a quote that never closes is an error, and the fields are only found, not copied. Notes
//! are mostly long quoted fields, so finding their ends with `memchr` reads them several times faster.

use std::borrow::Cow;
use std::io::Read;

use memchr::memchr;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// A longer record is taken for a quote that never closes.
const LONGEST_RECORD: usize = 1 << 26;

/// A quoted field's `close` where the field has no quotes.
const UNQUOTED: u32 = u32::MAX;

/// Reads records from `input`.
#[derive(Debug)]
pub struct Reader<R> {
    input: R,
    buffer: Vec<u8>,
    /// The unread bytes are `buffer[start..end]`.
    start: usize,
    end: usize,
    finished: bool,
    line: u64,
    fields: Vec<Field>,
}

/// Why there is no next record.
#[derive(Debug)]
pub enum Stop {
    /// The input failed.
    Io(std::io::Error),
    /// A quote opened on this line and never closed, or closed more than 64 MiB later.
    UnclosedQuote {
        /// Line of the record, from 1.
        line: u64,
    },
}

/// Where a field lies in its record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    start: u32,
    end: u32,
    /// Place of the closing quote.
    close: u32,
    /// Whether quotes inside are written twice.
    doubled: bool,
}

/// One record.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    bytes: &'a [u8],
    fields: &'a [Field],
    line: u64,
}

impl<R: Read> Reader<R> {
    /// Reads from the start of `input`; a byte order mark is passed over.
    pub fn new(input: R) -> Self {
        Self { input, buffer: vec![0; CHUNK], start: 0, end: 0, finished: false, line: 0, fields: Vec::new() }
    }

    /// Line on which the next record begins at the earliest, from 1.
    pub fn line(&self) -> u64 {
        self.line.max(1)
    }

    /// The next record.
    ///
    /// # Errors
    /// [`Stop`]; no record follows it.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Stop> {
        if self.line == 0 {
            self.begin()?;
        }
        if !self.skip_line_ends()? {
            return Ok(None);
        }
        loop {
            match scan(&self.buffer[self.start..self.end], self.finished, &mut self.fields) {
                Scan::Record { consumed } => {
                    let bytes = &self.buffer[self.start..self.start + consumed];
                    let line = self.line;
                    self.line += line_ends(bytes, &self.fields);
                    self.start += consumed;
                    let fields = &self.fields;
                    return Ok(Some(Record { bytes, fields, line }));
                }
                Scan::Incomplete => {
                    if self.finished || self.end - self.start > LONGEST_RECORD {
                        self.start = self.end;
                        self.finished = true;
                        return Err(Stop::UnclosedQuote { line: self.line });
                    }
                    self.fill()?;
                }
            }
        }
    }

    fn begin(&mut self) -> Result<(), Stop> {
        self.line = 1;
        while self.end < 3 && !self.finished {
            self.fill()?;
        }
        if self.buffer[..self.end].starts_with(b"\xEF\xBB\xBF") {
            self.start = 3;
        }
        Ok(())
    }

    /// Moves to the first byte of a record; false at the end of the input.
    fn skip_line_ends(&mut self) -> Result<bool, Stop> {
        loop {
            while self.start < self.end {
                match self.buffer[self.start] {
                    b'\n' => self.line += 1,
                    b'\r' => {}
                    _ => return Ok(true),
                }
                self.start += 1;
            }
            if self.finished {
                return Ok(false);
            }
            self.fill()?;
        }
    }

    fn fill(&mut self) -> Result<(), Stop> {
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.end == self.buffer.len() {
            self.buffer.resize(2 * self.buffer.len(), 0);
        }
        let got = loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                other => break other,
            }
        };
        let got = got.map_err(|error| {
            self.finished = true;
            self.start = self.end;
            Stop::Io(error)
        })?;
        self.finished = got == 0;
        self.end += got;
        Ok(())
    }
}

impl<'a> Record<'a> {
    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Never: a record has a field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Line on which it begins, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Content of field `index`, without its quotes.
    ///
    /// # Panics
    /// There is no such field.
    pub fn field(&self, index: usize) -> Cow<'a, [u8]> {
        let field = self.fields[index];
        match field.slices(self.bytes.len()) {
            Slices::Whole(range) => Cow::Borrowed(&self.bytes[range]),
            Slices::Patched(inner, tail) => {
                let mut content = Vec::with_capacity(inner.len() + tail.len());
                let mut rest = &self.bytes[inner];
                while let Some(quote) = memchr(b'"', rest) {
                    content.extend(&rest[..=quote]);
                    rest = &rest[(quote + 2).min(rest.len())..];
                }
                content.extend(rest);
                content.extend(&self.bytes[tail]);
                Cow::Owned(content)
            }
        }
    }

    /// The whole record as text; field contents are then text too, as fields end at ASCII bytes.
    ///
    /// # Errors
    /// Index of the first field that is not UTF-8.
    pub(super) fn text(&self) -> Result<TextRecord<'a>, usize> {
        match std::str::from_utf8(self.bytes) {
            Ok(text) => Ok(TextRecord { text, record: *self }),
            Err(error) => {
                let place = error.valid_up_to();
                Err(self.fields.iter().position(|f| place < f.end as usize).unwrap_or(self.len() - 1))
            }
        }
    }
}

/// A record known to be UTF-8.
#[derive(Debug, Clone, Copy)]
pub(super) struct TextRecord<'a> {
    text: &'a str,
    record: Record<'a>,
}

impl<'a> TextRecord<'a> {
    /// Content of field `index`, without its quotes.
    pub(super) fn field(&self, index: usize) -> Cow<'a, str> {
        let field = self.record.fields[index];
        match field.slices(self.text.len()) {
            Slices::Whole(range) => Cow::Borrowed(&self.text[range]),
            Slices::Patched(inner, tail) => {
                Cow::Owned(self.text[inner].replace("\"\"", "\"") + &self.text[tail])
            }
        }
    }

    /// Bytes that field `index` takes in the file, an upper bound of its content.
    pub(super) fn field_bytes(&self, index: usize) -> usize {
        let field = self.record.fields[index];
        (field.end - field.start) as usize
    }

    /// Line on which field `index` begins.
    pub(super) fn line_of(&self, index: usize) -> u64 {
        let before = &self.record.bytes[..self.record.fields[index].start as usize];
        self.record.line + memchr::memchr_iter(b'\n', before).count() as u64
    }
}

/// Where a field's content lies.
enum Slices {
    /// Here, as it is.
    Whole(std::ops::Range<usize>),
    /// In the first range, with quotes written twice, and then in the second, as it is.
    Patched(std::ops::Range<usize>, std::ops::Range<usize>),
}

impl Field {
    fn slices(self, record: usize) -> Slices {
        let (start, end) = (self.start as usize, (self.end as usize).min(record));
        if self.close == UNQUOTED {
            return Slices::Whole(start..end);
        }
        let close = self.close as usize;
        if !self.doubled && close + 1 == end {
            return Slices::Whole(start..close);
        }
        Slices::Patched(start..close, close + 1..end)
    }
}

enum Scan {
    Record { consumed: usize },
    Incomplete,
}

/// Finds the fields of the record at the start of `bytes`, which is not empty and does not begin with a line end.
fn scan(bytes: &[u8], finished: bool, fields: &mut Vec<Field>) -> Scan {
    fields.clear();
    let mut at = 0;
    loop {
        let (start, close, doubled) = if bytes.get(at) == Some(&b'"') {
            match closing_quote(bytes, at + 1, finished) {
                Some((close, doubled)) => (at + 1, Some(close), doubled),
                None => return Scan::Incomplete,
            }
        } else {
            (at, None, false)
        };
        let end = field_end(bytes, close.map_or(start, |close| close + 1));
        fields.push(Field {
            start: place(start),
            end: place(end),
            close: close.map_or(UNQUOTED, place),
            doubled,
        });
        match bytes.get(end) {
            Some(b',') => at = end + 1,
            Some(b'\n') => return Scan::Record { consumed: end + 1 },
            Some(_) => match bytes.get(end + 1) {
                Some(b'\n') => return Scan::Record { consumed: end + 2 },
                None if !finished => return Scan::Incomplete, // a CR whose LF may come
                _ => return Scan::Record { consumed: end + 1 },
            },
            None if finished => return Scan::Record { consumed: end },
            None => return Scan::Incomplete,
        }
    }
}

/// A place in a record.
#[expect(clippy::cast_possible_truncation, reason = "a record is shorter than 2^27 bytes")]
fn place(at: usize) -> u32 {
    at as u32
}

/// Place of the first comma, LF or CR from `from` on, or the end. Most fields are shorter than what a call of `memchr` pays
/// for, so eight bytes are looked at together here.
fn field_end(bytes: &[u8], from: usize) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = ONES << 7;
    // The high bit of the lowest byte that equals `byte`, and perhaps of others above it.
    let equal = |word: u64, byte: u8| {
        let zero = word ^ (ONES * u64::from(byte));
        zero.wrapping_sub(ONES) & !zero & HIGH
    };
    let mut at = from;
    while let Some(eight) = bytes.get(at..at + 8) {
        let word = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        let found = equal(word, b',') | equal(word, b'\n') | equal(word, b'\r');
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes[at..].iter().position(|b| matches!(b, b',' | b'\n' | b'\r'));
    rest.map_or(bytes.len(), |offset| at + offset)
}

/// Place of the quote that closes a field whose content begins at `from`, and whether quotes inside are written twice.
fn closing_quote(bytes: &[u8], mut from: usize, finished: bool) -> Option<(usize, bool)> {
    let mut doubled = false;
    loop {
        let quote = from + memchr(b'"', &bytes[from..])?;
        match bytes.get(quote + 1) {
            Some(b'"') => {
                doubled = true;
                from = quote + 2;
            }
            None if !finished => return None,
            _ => return Some((quote, doubled)),
        }
    }
}

/// Line feeds in a record: those within quotes, and the one that ends it.
fn line_ends(record: &[u8], fields: &[Field]) -> u64 {
    let quoted = fields.iter().filter(|field| field.close != UNQUOTED);
    let within = quoted.map(|field| {
        let content = &record[field.start as usize..field.close as usize];
        if content.len() < 16 {
            content.iter().filter(|b| **b == b'\n').count()
        } else {
            memchr::memchr_iter(b'\n', content).count()
        }
    });
    within.sum::<usize>() as u64 + u64::from(record.ends_with(b"\n"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hands out few bytes at a time, so that records straddle reads.
    struct Dripping<'a>(&'a [u8], usize);

    impl Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    type Rows = Vec<(u64, Vec<Vec<u8>>)>;

    fn ours(bytes: &[u8], step: usize) -> (Rows, bool) {
        let mut reader = Reader::new(Dripping(bytes, step));
        let mut rows = Vec::new();
        loop {
            match reader.next_record() {
                Ok(Some(record)) => {
                    let fields = (0..record.len()).map(|i| record.field(i).into_owned()).collect();
                    if let Ok(text) = record.text() {
                        for i in 0..record.len() {
                            assert_eq!(text.field(i).as_bytes(), &*record.field(i));
                        }
                    }
                    rows.push((record.line(), fields));
                }
                Ok(None) => return (rows, true),
                Err(Stop::UnclosedQuote { .. }) => return (rows, false),
                Err(Stop::Io(error)) => panic!("{error}"),
            }
        }
    }

    fn csv_crate(bytes: &[u8]) -> Vec<Vec<Vec<u8>>> {
        let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(bytes);
        let rows =
            reader.byte_records().map(|record| record.expect("flexible reading of memory never fails"));
        rows.map(|record| record.iter().map(<[u8]>::to_vec).collect()).collect()
    }

    fn assert_equal(bytes: &[u8], step: usize) {
        let (rows, whole) = ours(bytes, step);
        let fields: Vec<_> = rows.into_iter().map(|(_, fields)| fields).collect();
        let expected = csv_crate(bytes);
        if whole {
            assert_eq!(fields, expected);
        } else {
            assert_eq!(fields, expected[..expected.len() - 1], "all but the record that never closes");
        }
    }

    #[test]
    fn quotes_line_ends_and_blank_lines_are_read_as_the_csv_crate_reads_them() {
        for text in [
            "a,b\n1,2\n",
            "a,b\r\n\r\n\n\"x\ny\",\"say \"\"no\"\"\"\r\n",
            "\"a\"b\"c\",d\ne\"f\"\"g,\"\"\n,\n",
            "\u{feff}a,b\r1,2\r\n3,",
            "a,\"open\n1,2\n",
            "\"\"",
            "",
            "\"a\" ,b\n",
        ] {
            for step in [1, 2, 3, 1000] {
                assert_equal(text.as_bytes(), step);
            }
        }
    }

    #[test]
    fn a_record_knows_the_line_it_begins_on() {
        let (rows, _) = ours(b"h,i\n\"1\n\n2\",x\r\n\n3,\"\"\n", 4);
        let lines: Vec<u64> = rows.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [1, 2, 6]);
    }

    #[test]
    fn a_quote_that_never_closes_is_named_with_its_line() {
        let mut reader = Reader::new(&b"a,b\n1,\"x\ny\nz"[..]);
        assert!(reader.next_record().expect("the header").is_some());
        assert!(matches!(reader.next_record(), Err(Stop::UnclosedQuote { line: 2 })));
        assert!(matches!(reader.next_record(), Ok(None)), "nothing follows");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_the_csv_crate_reads_them(
            bytes in prop::collection::vec(prop::sample::select(&b"\"\",,\n\r\nab \xC3\xA9\xFF"[..]), 0..60),
            step in 1usize..9,
        ) {
            assert_equal(&bytes, step);
        }

        #[test]
        fn what_the_csv_crate_writes_is_read_back(
            rows in prop::collection::vec(prop::collection::vec(".{0,12}|[\",\r\n]{0,4}", 3), 1..6),
        ) {
            let mut writer = csv::WriterBuilder::new().quote_style(csv::QuoteStyle::Always).from_writer(vec![]);
            for row in &rows {
                writer.write_record(row).expect("memory");
            }
            let (read, whole) = ours(&writer.into_inner().expect("memory"), 7);
            prop_assert!(whole);
            let read: Vec<Vec<String>> = read
                .into_iter()
                .map(|(_, fields)| fields.into_iter().map(|f| String::from_utf8(f).expect("text")).collect())
                .collect();
            prop_assert_eq!(read, rows);
        }
    }
}
