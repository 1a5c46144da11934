//! Any bytes are tensors that can all be read, each of the size its shape says, or an error.
//!
//! `cargo +nightly fuzz run safetensors`

#![no_main]

#[path = "../../core/src/error.rs"]
mod error;
#[path = "../../core/src/weights/safetensors.rs"]
mod reader;
#[path = "../../core/src/weights/source.rs"]
mod source;

use libfuzzer_sys::fuzz_target;
use reader::SafetensorsFile;
use source::{StoredDtype, TensorSource};

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = SafetensorsFile::open("fuzzed", bytes) else {
        return;
    };
    for tensor in file.tensors() {
        let Ok((dtype, values)) = file.read(&tensor.name) else {
            continue; // a type that no model has
        };
        let width = match dtype {
            StoredDtype::F16 | StoredDtype::Bf16 => 2,
            StoredDtype::F32 => 4,
            StoredDtype::F64 => 8,
        };
        assert_eq!(values.len(), tensor.shape.iter().product::<usize>() * width);
    }
});
