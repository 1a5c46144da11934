//! Reads TensorBoard's event files as another program would: frames, checksums and protocol buffers, all by hand.

use std::collections::BTreeMap;

use crate::program::Workshop;

/// Numbers of a run's event files: `(tag, step, value)`, in the files' order.
pub(crate) fn scalars(workshop: &Workshop, run: &str) -> Vec<(String, u64, f32)> {
    let mut names = workshop.entries(run, "events.out.tfevents.");
    names.sort();
    assert!(!names.is_empty(), "{run} has no event file");
    let mut scalars = Vec::new();
    for name in names {
        let bytes = workshop.read(&format!("{run}/{name}"));
        let events = records(&bytes);
        let version = fields(events[0]).remove(&3).expect("a version comes first");
        assert_eq!(version[0].bytes(), b"brain.Event:2");
        for event in &events[1..] {
            let event = fields(event);
            let step = event[&2][0].number();
            for value in
                event.get(&5).map_or_else(Vec::new, |summary| fields(summary[0].bytes()).remove(&1).unwrap())
            {
                let value = fields(value.bytes());
                let tag = String::from_utf8(value[&1][0].bytes().to_vec()).unwrap();
                let bits = u32::try_from(value[&2][0].number()).unwrap();
                scalars.push((tag, step, f32::from_bits(bits)));
            }
        }
    }
    // Files of one second are told apart by host and process; their order is that of the updates.
    scalars.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    scalars
}

/// The records of a file, their checksums checked.
fn records(bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (length, data) = (&rest[..8], &rest[12..]);
        let size = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
        let (data, after) = data.split_at(size);
        assert_eq!(rest[8..12], masked(length).to_le_bytes(), "checksum of a length");
        assert_eq!(after[..4], masked(data).to_le_bytes(), "checksum of a record");
        records.push(data);
        rest = &after[4..];
    }
    records
}

/// CRC-32C bit by bit, masked as TensorFlow does.
fn masked(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 * (crc & 1));
        }
    }
    let crc = !crc;
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A field's value on the wire.
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn number(&self) -> u64 {
        let Self::Number(number) = self else { panic!("bytes where a number was expected") };
        *number
    }

    fn bytes(&self) -> &'a [u8] {
        let Self::Bytes(bytes) = self else { panic!("a number where bytes were expected") };
        bytes
    }
}

/// Fields of a message by their tags.
fn fields(mut bytes: &[u8]) -> BTreeMap<u64, Vec<Wire<'_>>> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let (byte, rest) = bytes.split_first().expect("a number ends");
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                break;
            }
        }
        value
    }
    let mut fields: BTreeMap<u64, Vec<Wire<'_>>> = BTreeMap::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let mut take = |size: usize| {
            let (value, rest) = bytes.split_at(size);
            bytes = rest;
            value
        };
        let value = match key & 7 {
            1 => Wire::Number(u64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Wire::Number(u64::from(u32::from_le_bytes(take(4).try_into().unwrap()))),
            0 => Wire::Number(varint(&mut bytes)),
            2 => {
                let size = usize::try_from(varint(&mut bytes)).unwrap();
                let (value, rest) = bytes.split_at(size);
                bytes = rest;
                Wire::Bytes(value)
            }
            kind => panic!("wire type {kind}"),
        };
        fields.entry(key >> 3).or_default().push(value);
    }
    fields
}
