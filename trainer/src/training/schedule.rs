//! The learning rate at each update.

use std::collections::BTreeMap;

use clinlora_core::model::head::is_head;
use clinlora_core::params::Owner;

use crate::recipe::{Recipe, Schedule, Training};

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

/// How much faster or slower than the run adapters and head learn that have a peak learning rate of their own. They follow the
/// run's course, so at every update their rate is the run's times a constant.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateFactors {
    head: Option<f64>,
    adapters: BTreeMap<String, f64>,
}

impl RateFactors {
    /// Those of a recipe.
    #[must_use]
    pub fn of(recipe: &Recipe) -> Self {
        let peak = recipe.training.learning_rate;
        let own =
            |adapter: &crate::recipe::Adapter| Some((adapter.name.clone(), adapter.learning_rate? / peak));
        Self {
            head: recipe.training.head_learning_rate.map(|rate| rate / peak),
            adapters: recipe.adapter.iter().filter_map(own).collect(),
        }
    }

    /// The factor of the tensor `name` of `owner`.
    pub(crate) fn factor(&self, owner: &Owner, name: &str) -> f64 {
        let own = match owner {
            Owner::Adapter(adapter) => self.adapters.get(adapter).copied(),
            Owner::Base if is_head(name) => self.head,
            Owner::Base => None,
        };
        own.unwrap_or(1.0)
    }
}
