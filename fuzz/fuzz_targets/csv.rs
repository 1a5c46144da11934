//! Any bytes, handed over in pieces of any size, are read as the `csv` crate reads them; a quote that never closes ends the
//! table one record earlier.
//!
//! `cargo +nightly fuzz run csv`

#![no_main]

#[path = "../../trainer/src/mimic/csv.rs"]
#[expect(dead_code, reason = "the program uses more of it")]
mod reader;

use libfuzzer_sys::fuzz_target;

struct Pieces<'a> {
    bytes: &'a [u8],
    size: usize,
}

impl std::io::Read for Pieces<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.size.min(self.bytes.len()).min(buffer.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes = &self.bytes[count..];
        Ok(count)
    }
}

fuzz_target!(|input: (u8, Vec<u8>)| {
    let (size, bytes) = input;
    let size = usize::from(size).max(1);
    let mut ours = reader::Reader::new(Pieces { bytes: &bytes, size });
    let theirs = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(bytes.as_slice());
    let mut theirs = theirs
        .into_byte_records()
        .map(|record| record.expect("flexible reading of memory never fails"));
    let mut line = 1;
    loop {
        match ours.next_record() {
            Ok(Some(record)) => {
                assert!(record.line() >= line);
                line = record.line();
                let fields: Vec<Vec<u8>> = (0..record.len()).map(|i| record.field(i).into_owned()).collect();
                let expected = theirs.next().expect("as many records");
                assert_eq!(fields, expected.iter().map(<[u8]>::to_vec).collect::<Vec<_>>());
            }
            Ok(None) => {
                assert!(theirs.next().is_none(), "as many records");
                return;
            }
            Err(_) => {
                assert_eq!(theirs.count(), 1, "only the record that never closes is left");
                return;
            }
        }
    }
});
