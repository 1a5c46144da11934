//! Running a bundle: one note, several tasks, adapters off or on, in one batch and in small steps.
//!
//! The native program and the browser's worker call the same three things: a [`Loader`] that puts a bundle on a device one
//! layer a step, an [`Engine`] that holds it, and a [`Prefill`] that is one forward pass, one layer a step. Between two steps
//! the caller may tell of progress, let a page breathe, or drop the pass, which cancels it. Nothing here waits for a device:
//! logits come as a tensor, which the caller reads, in a browser asynchronously.
//!
//! A classification needs a decoder's states at a note's last token alone. So there is no language-modelling head, and the
//! last layer makes keys and values of every token and the rest of that one. The token embedding stays with the
//! [`ShardSource`]: the rows of a note's tokens are read when it is run.
//!
//! Tasks that run under the same adapters share their rows of the batch: with adapters off, five tasks are five heads on one
//! pass. Where their adapters differ, each stack has the notes once, and every LoRA acts on the rows of its stacks.

mod load;
mod prefill;

use std::ops::Range;

use burn::tensor::{Device, Tensor};

pub use self::load::{Loader, Loading};
pub use self::prefill::{Logits, Prefill, Progress};
use crate::config::LlamaConfig;
use crate::error::Error;
use crate::model::llama::Llama;
use crate::params::for_each_parts;
use crate::weights::bundle::{BundleTask, BundleTensor, ShardSource};

/// Which adapters take part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Adapters {
    /// None: the base alone under the task's head.
    Off,
    /// The clinical part of the task's stack.
    Clinical,
    /// The whole stack: what the task was trained with, and its calibration fitted for.
    #[default]
    All,
}

/// How long a batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Padding {
    /// As its longest note: best on a processor.
    Longest,
    /// As the next of a few lengths: a graphics device then compiles its kernels for those alone.
    Buckets,
}

/// Lengths of [`Padding::Buckets`], tokens; beyond the last, its multiples.
pub const BUCKETS: [usize; 6] = [64, 128, 256, 512, 1024, 2048];

impl Padding {
    /// Length of a batch whose longest note has this many tokens.
    #[must_use]
    pub fn length(self, tokens: usize) -> usize {
        match self {
            Self::Longest => tokens,
            Self::Buckets => {
                let last = BUCKETS[BUCKETS.len() - 1];
                BUCKETS.into_iter().find(|length| *length >= tokens).unwrap_or(tokens.next_multiple_of(last))
            }
        }
    }
}

/// A bundle on a device.
pub struct Engine {
    model: Llama,
    config: LlamaConfig,
    base_sha256: String,
    embedding: BundleTensor,
    source: Box<dyn ShardSource>,
    tasks: Vec<LoadedTask>,
    /// Name and hash of the adapters on the model.
    adapters: Vec<(String, String)>,
    padding: Padding,
    device: Device,
    /// What the adapters are set to at the moment.
    routing: Routing,
}

struct LoadedTask {
    task: BundleTask,
    /// `[labels, D]`, f32.
    head: Tensor<2>,
}

/// Rows of a batch that each active adapter acts on.
type Routing = Vec<(String, Vec<Range<usize>>)>;

impl Engine {
    /// Tasks that can be run, in the bundle's order.
    pub fn tasks(&self) -> impl Iterator<Item = &BundleTask> {
        self.tasks.iter().map(|loaded| &loaded.task)
    }

    /// The task of this name.
    ///
    /// # Errors
    /// [`Error::Bundle`] with the names there are.
    pub fn task(&self, name: &str) -> Result<&BundleTask, Error> {
        self.loaded(name).map(|loaded| &loaded.task)
    }

    /// Configuration of the base.
    #[must_use]
    pub fn config(&self) -> &LlamaConfig {
        &self.config
    }

    /// Where it runs.
    #[must_use]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Calibrated probability of each label of a task, from its logits for one note.
    ///
    /// One map for every choice of adapters, so that what differs between them is the adapters' doing; it was fitted for
    /// [`Adapters::All`].
    ///
    /// # Errors
    /// [`Error::Bundle`] for another task, other numbers of labels, or logits that are no numbers.
    pub fn probabilities(&self, task: &str, logits: &[f32]) -> Result<Vec<f64>, Error> {
        let task = self.task(task)?;
        if logits.len() != task.labels.len() || !logits.iter().all(|x| x.is_finite()) {
            let reason = format!(
                "task {} has {} labels, and {} scores came, or one that is not finite",
                task.name,
                task.labels.len(),
                logits.len()
            );
            return Err(Error::Bundle { reason });
        }
        Ok(task.calibration.probabilities(task.kind, logits))
    }

    fn loaded(&self, name: &str) -> Result<&LoadedTask, Error> {
        self.tasks.iter().find(|loaded| loaded.task.name == name).ok_or_else(|| {
            let names: Vec<&str> = self.tasks().map(|task| task.name.as_str()).collect();
            Error::Bundle { reason: format!("no task {name}; loaded are [{}]", names.join(", ")) }
        })
    }

    /// Makes each adapter act on its rows, and the others on none.
    fn route(&mut self, routing: &Routing) {
        if self.routing == *routing {
            return;
        }
        for_each_parts(&mut self.model, |parts| {
            parts.for_each(&mut |part| {
                let membership = part.membership_mut();
                let rows = routing.iter().find(|(adapter, _)| *adapter == membership.adapter);
                membership.active = rows.is_some();
                membership.rows = rows.map(|(_, rows)| rows.clone()).unwrap_or_default();
            });
        });
        self.routing.clone_from(routing);
    }
}

#[cfg(test)]
mod tests;
