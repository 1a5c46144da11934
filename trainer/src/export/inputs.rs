//! What the layers of a base see in the tasks' notes: int4 weights are rounded for that.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use burn::tensor::Device;
use clinlora_core::params::for_each_site;
use clinlora_core::quant::Moments;

use super::Prepared;
use crate::commands::stack;
use crate::device::Opened;
use crate::error::Result;
use crate::folders::base::BaseFolder;
use crate::training::objective::predict;
use crate::training::progress::Progress;

/// Notes of each task that are looked at.
const NOTES: usize = 128;

/// Runs the first validation notes of each task through the unpacked model under the task's adapters; returns the moments of
/// every layer's inputs by the name of its weight. Empty where no task has notes.
pub(super) fn of_notes(
    tasks: &[Prepared],
    base: &BaseFolder,
    opened: &Opened,
) -> Result<BTreeMap<String, Moments>> {
    let mut noted: BTreeMap<String, Arc<Mutex<Moments>>> = BTreeMap::new();
    let device: &Device = &opened.device;
    for task in tasks.iter().filter(|task| !task.valid.is_empty()) {
        let mut model = stack::classifier(base, &task.paths, &task.task, device, opened.dtype.burn())?;
        for_each_site(&mut model, |path, linear| {
            let [_, d_in] = linear.shape();
            let moments = noted.entry(format!("{path}.weight"));
            let moments = moments.or_insert_with(|| Arc::new(Mutex::new(Moments::new(d_in))));
            linear.note_inputs(moments.clone());
        });
        let notes = &task.valid[..task.valid.len().min(NOTES)];
        let mut progress = Progress::new(&format!("{}: inputs", task.name), 0, notes.len() as u64);
        for (done, note) in (1..).zip(notes.chunks(1)) {
            // One by one: what pads a batch is no input.
            predict(&model, note, device, |_| {})?;
            progress.set(done, String::new);
        }
    }
    let taken =
        |moments: Arc<Mutex<Moments>>| moments.lock().expect("nothing panics while it holds them").clone();
    Ok(noted.into_iter().map(|(name, moments)| (name, taken(moments))).collect())
}
