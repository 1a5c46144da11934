//! Why: which parts of a note drove an outcome, and whether deleting them bears that out.

use std::ops::Range;

use clinlora_core::explain::{Deletion, Occlusion, sections, sentences, visible, words};
use clinlora_core::weights::bundle::BundleTask;
use clinlora_webapp::engine::protocol::{AdapterChoice, Effect, Event, Failure, Parts};

use super::host::{Stop, send};
use super::model::{Loaded, Run, refuse};

/// Notes run together: enough to fill a GPU, few enough for a page that wants to stop.
const BATCH: usize = 16;

/// A request to explain.
pub(crate) struct Why<'a> {
    pub(crate) id: u64,
    pub(crate) note: String,
    pub(crate) task: String,
    pub(crate) label: usize,
    pub(crate) parts: Parts,
    pub(crate) adapters: AdapterChoice,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) stop: &'a Stop,
}

impl Loaded {
    /// Leaves each part of the note out in turn, and tells what that changes.
    pub(crate) async fn explain(&self, why: &Why<'_>) -> Result<(), Failure> {
        self.check()?;
        let unknown = || Failure::UnknownTask { task: why.task.clone() };
        let task = self.engine.borrow().task(&why.task).map_err(|_| unknown())?.clone();
        if why.label >= task.labels.len() {
            return Err(Failure::Note { reason: format!("task {} has no label {}", task.name, why.label) });
        }
        let max_tokens = why.max_tokens.unwrap_or(task.max_tokens);
        let end = visible(&self.tokenizer, &why.note, max_tokens).map_err(|e| refuse(&e))?;
        let text = &why.note[..end];
        let occlusion = Occlusion::new(&self.tokenizer, text, parts(text, why.parts)?, max_tokens);
        let occlusion = occlusion.map_err(|e| refuse(&e))?;
        let logits = self.rows(occlusion.notes(), &task, why).await?;
        let effects = occlusion.effects(&task, why.label, &logits);
        let deletion = Deletion::new(&self.tokenizer, text, &effects, max_tokens).map_err(|e| refuse(&e))?;
        let logits = self.rows(deletion.notes(), &task, why).await?;
        let agreement = deletion.curves(&task, why.label, &logits).agreement();
        let effects = effects.into_iter().map(|effect| Effect {
            start: effect.range.start,
            end: effect.range.end,
            log_odds: effect.log_odds,
            probability: effect.probability,
        });
        send(why.id, Event::Explained { effects: effects.collect(), agreement });
        Ok(())
    }

    /// Logits of one task for many notes, batch by batch.
    async fn rows(
        &self,
        notes: &[Vec<u32>],
        task: &BundleTask,
        why: &Why<'_>,
    ) -> Result<Vec<Vec<f32>>, Failure> {
        let mut rows = Vec::with_capacity(notes.len());
        for batch in notes.chunks(BATCH) {
            let batch: Vec<&[u32]> = batch.iter().map(Vec::as_slice).collect();
            let tasks = [task.name.as_str()];
            let run = Run { notes: &batch, tasks: &tasks, adapters: why.adapters, stop: why.stop };
            rows.extend(self.run(&run, |_| {}).await?.into_iter().flat_map(|(_, rows)| rows));
            send(why.id, Event::Step { done: rows.len(), total: notes.len() });
        }
        Ok(rows)
    }
}

/// The parts of a text, in bytes.
fn parts(text: &str, parts: Parts) -> Result<Vec<Range<usize>>, Failure> {
    Ok(match parts {
        Parts::Sentences => sentences(text).into_iter().map(|sentence| sentence.range).collect(),
        Parts::Sections => sections(text).into_iter().map(|section| section.range).collect(),
        Parts::Words { start, end } => {
            if text.get(start..end).is_none() {
                let reason = "the part is not within what is read of the note".to_owned();
                return Err(Failure::Note { reason });
            }
            words(text, start..end)
        }
    })
}
