//! Any bytes are a manifest whose every tensor lies within its shards and over no other, or an error.
//!
//! `cargo +nightly fuzz run manifest`

#![no_main]

#[path = "../../core/src/error.rs"]
mod error;
#[path = "../../core/src/quant/layout.rs"]
mod layout;
#[path = "../../core/src/weights/bundle/manifest.rs"]
mod manifest;
#[path = "../../core/src/probability.rs"]
mod probability;
#[path = "../../core/src/task.rs"]
mod task;
#[path = "../../core/src/weights/bundle/tasks.rs"]
mod tasks;

/// What the reader calls its layout by.
mod quant {
    pub(crate) use crate::layout::{Bits, matrix_words, row_words};
}

use libfuzzer_sys::fuzz_target;
use manifest::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::parse(bytes) else {
        return;
    };
    let mut taken = Vec::new();
    for tensor in manifest.tensors() {
        let bytes: u64 = tensor.segments.iter().map(|segment| segment.bytes).sum();
        assert_eq!(Some(bytes), tensor.format.bytes(&tensor.shape));
        for segment in &tensor.segments {
            assert!(segment.offset + segment.bytes <= manifest.shards[segment.shard].bytes);
            taken.push((segment.shard, segment.offset, segment.offset + segment.bytes));
        }
    }
    taken.sort_unstable();
    assert!(taken.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].2 <= pair[1].1));
    for task in &manifest.tasks {
        let logits = vec![0.5; task.labels.len()];
        let probabilities = task.calibration.probabilities(task.kind, &logits);
        assert!(probabilities.iter().all(|p| (0.0..=1.0 + 1e-9).contains(p)));
        for points in task.evidence.iter().flat_map(|evidence| &evidence.operating) {
            (0..points.true_positives.len()).for_each(|place| drop(points.at(place).sensitivity));
        }
    }
});
