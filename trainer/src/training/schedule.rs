//! The learning rate at each update.

use crate::recipe::{Schedule, Training};

/// Learning rate of update `update` (from 0) of `updates`, which have `micro_batches` micro-batches.
///
/// Linear as in Hugging Face's `get_linear_schedule_with_warmup`, with the warm-up rounded up to whole updates. The
/// authors' code took the same function of updates, but with the number of micro-batches for the number of updates, and
/// the warm-up *ratio* for the number of warm-up steps: `lr(0) = 0`, `lr(s) = peak · (N - s) / (N - ratio)`. With a
/// ratio of 0, as in their pretraining, `lr(0)` is the peak.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "updates are far below 2^52")]
pub fn learning_rate(training: &Training, update: u64, updates: u64, micro_batches: u64) -> f64 {
    let peak = training.learning_rate;
    let (step, total) = (update as f64, updates as f64);
    match training.schedule {
        Schedule::Constant => peak,
        Schedule::Linear => {
            let warmup = (training.warmup_ratio * total).ceil();
            if step < warmup {
                peak * step / warmup
            } else {
                peak * (total - step) / (total - warmup).max(1.0)
            }
        }
        Schedule::AuthorCompat => {
            if step < training.warmup_ratio {
                return 0.0;
            }
            let micro_batches = micro_batches as f64;
            peak * (micro_batches - step) / (micro_batches - training.warmup_ratio)
        }
    }
}
