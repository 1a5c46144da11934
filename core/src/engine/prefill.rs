//! One forward pass over notes and tasks, one layer a step.

use std::collections::BTreeMap;
use std::ops::Range;

use burn::tensor::{DType, Tensor, TensorData};

use super::{Adapters, Engine, Routing};
use crate::error::Error;
use crate::model::llama::Pass;

/// How far a pass is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Layers that have run.
    pub done: usize,
    /// Layers there are.
    pub total: usize,
}

impl Progress {
    /// Whether the logits are there.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done == self.total
    }
}

/// A forward pass under way. Dropping it cancels it.
pub struct Prefill {
    /// None once the logits are there.
    pass: Option<Pass>,
    routing: Routing,
    /// Each task, and the place of its stack among those of the batch.
    tasks: Vec<(String, usize)>,
    /// Place of the last token of each note.
    last: Vec<usize>,
    stacks: usize,
    logits: Option<Logits>,
    total: usize,
}

/// Scores of notes in several tasks.
#[derive(Debug, Clone)]
pub struct Logits {
    /// Unnormalised scores, `[notes, labels of all tasks]`, f32.
    pub values: Tensor<2>,
    /// Columns of each task, in the order asked for.
    pub columns: Vec<(String, Range<usize>)>,
}

impl Logits {
    /// Parts `values`, as read from the device row by row, into a row of scores for each note of each task.
    ///
    /// # Panics
    /// If they are not whole rows.
    #[must_use]
    pub fn split(&self, values: &[f32]) -> Vec<(String, Vec<Vec<f32>>)> {
        let width = self.columns.last().map_or(0, |(_, columns)| columns.end);
        assert!(width > 0 && values.len().is_multiple_of(width), "rows of {width} scores");
        let of_task = |(task, columns): &(String, Range<usize>)| {
            let rows = values.chunks_exact(width).map(|row| row[columns.clone()].to_vec());
            (task.clone(), rows.collect())
        };
        self.columns.iter().map(of_task).collect()
    }
}

impl Prefill {
    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let done = self.pass.as_ref().map_or(self.total, Pass::layers_done);
        Progress { done, total: self.total }
    }

    /// One value of what has been computed last, `[1]`: reading it waits until the device is that far.
    #[must_use]
    pub fn fence(&self) -> Tensor<1> {
        match (&self.pass, &self.logits) {
            (Some(pass), _) => pass.fence(),
            (None, Some(logits)) => logits.values.clone().slice([0..1, 0..1]).flatten(0, 1),
            (None, None) => unreachable!("a pass ends with its logits"),
        }
    }

    /// The logits; none before the last step.
    #[must_use]
    pub fn into_logits(self) -> Option<Logits> {
        self.logits
    }
}

impl Engine {
    /// Begins a pass of `notes` (token ids, BOS first) in `tasks`, under the adapters of each. Several passes may be under way.
    ///
    /// # Errors
    /// [`Error::EmptyNote`] for no note or an empty one; [`Error::Bundle`] for a task that is not there, named twice or none,
    /// and for an id outside the vocabulary; [`Error::Container`] if the embedding cannot be read.
    pub fn start(&self, notes: &[&[u32]], tasks: &[&str], adapters: Adapters) -> Result<Prefill, Error> {
        let refuse = |reason: &str| Err(Error::Bundle { reason: reason.to_owned() });
        if notes.is_empty() || notes.iter().any(|note| note.is_empty()) {
            return Err(Error::EmptyNote);
        }
        if tasks.is_empty() || (1..tasks.len()).any(|i| tasks[..i].contains(&tasks[i])) {
            return refuse("give at least one task, and each once");
        }
        let mut stacks: Vec<&[String]> = Vec::new();
        let mut placed = Vec::new();
        for name in tasks {
            let task = self.task(name)?;
            let stack: &[String] = match adapters {
                Adapters::Off => &[],
                Adapters::Clinical => &task.stack[..task.clinical],
                Adapters::All => &task.stack,
            };
            let place = stacks.iter().position(|known| *known == stack).unwrap_or_else(|| {
                stacks.push(stack);
                stacks.len() - 1
            });
            placed.push(((*name).to_owned(), place));
        }
        let longest = notes.iter().map(|note| note.len()).max().unwrap_or_default();
        let embedded = self.embed(notes, self.padding.length(longest))?; // [notes, T, D]
        let embedded = if stacks.len() > 1 { embedded.repeat_dim(0, stacks.len()) } else { embedded };
        Ok(Prefill {
            pass: Some(self.model.begin(embedded)),
            routing: routing(&stacks, notes.len()),
            tasks: placed,
            last: notes.iter().map(|note| note.len() - 1).collect(),
            stacks: stacks.len(),
            logits: None,
            total: self.model.num_layers(),
        })
    }

    /// Runs the next layer; after the last the logits are there. Further steps do nothing.
    pub fn step(&mut self, prefill: &mut Prefill) -> Progress {
        self.route(&prefill.routing);
        match prefill.pass.take() {
            Some(pass) if pass.layers_done() + 1 == prefill.total => {
                prefill.logits = Some(self.heads(pass, prefill));
            }
            Some(mut pass) => {
                self.model.step(&mut pass);
                prefill.pass = Some(pass);
            }
            None => {}
        }
        prefill.progress()
    }

    /// Runs all layers.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn run(&mut self, notes: &[&[u32]], tasks: &[&str], adapters: Adapters) -> Result<Logits, Error> {
        let mut prefill = self.start(notes, tasks, adapters)?;
        while !self.step(&mut prefill).is_done() {}
        Ok(prefill.into_logits().expect("every layer has run"))
    }

    /// The last layer, the final norm and the heads.
    fn heads(&self, pass: Pass, prefill: &Prefill) -> Logits {
        let notes = prefill.last.len();
        let pooled = self.model.finish_at(pass, &prefill.last.repeat(prefill.stacks)).cast(DType::F32); // [B, D]
        let (mut parts, mut columns, mut first) = (Vec::new(), Vec::new(), 0);
        for (name, stack) in &prefill.tasks {
            let loaded = self.loaded(name).expect("a task that was started is loaded");
            let rows = pooled.clone().narrow(0, stack * notes, notes);
            parts.push(burn::tensor::module::linear(rows, loaded.head.clone().transpose(), None));
            let end = first + loaded.task.labels.len();
            columns.push((name.clone(), first..end));
            first = end;
        }
        Logits { values: Tensor::cat(parts, 1), columns }
    }

    /// Rows of the token embedding, padded on the right with zeros to `length`.
    fn embed(&self, notes: &[&[u32]], length: usize) -> Result<Tensor<3>, Error> {
        let width = self.config.hidden_size;
        let mut rows: BTreeMap<u32, Vec<f32>> = BTreeMap::new();
        let mut values = vec![0.0; notes.len() * length * width];
        for (note, into) in notes.iter().zip(values.chunks_exact_mut(length * width)) {
            for (id, into) in note.iter().zip(into.chunks_exact_mut(width)) {
                if !rows.contains_key(id) {
                    let mut row = Vec::with_capacity(width);
                    self.embedding.read_row(self.source.as_ref(), u64::from(*id), &mut row)?;
                    rows.insert(*id, row);
                }
                into.copy_from_slice(&rows[id]);
            }
        }
        let data = TensorData::new(values, [notes.len(), length, width]);
        Ok(Tensor::from_data(data, (&self.device, DType::F32)))
    }
}

/// Rows of each adapter in a batch that has the notes once for each stack.
fn routing(stacks: &[&[String]], notes: usize) -> Routing {
    let mut routing: Routing = Vec::new();
    for (place, stack) in stacks.iter().enumerate() {
        let rows = place * notes..(place + 1) * notes;
        for adapter in *stack {
            match routing.iter_mut().find(|(known, _)| known == adapter) {
                None => routing.push((adapter.clone(), vec![rows.clone()])),
                Some((_, known)) => match known.last_mut() {
                    Some(last) if last.end == rows.start => last.end = rows.end,
                    _ => known.push(rows.clone()),
                },
            }
        }
    }
    routing
}
