//! States a run can continue from: everything trained, the optimiser's moments and the place in the data.
//!
//! A run folder holds the last `training.keep_last` of them, `checkpoint-EPOCH-UPDATE`, and for a moment one more: a new
//! one is whole on disk before the oldest goes. The best trained values so far stand beside them,
//! `best-UPDATE.safetensors`, written before the checkpoint whose state names them; so whenever the process is killed, every
//! checkpoint has the file it speaks of.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::params::{Walk, for_each_param};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::adamw::AdamW;
use super::objective::Validation;
use super::step::full_name;
use crate::error::{AtPath, Error, Result};
use crate::files::{self, NewFolder};

const TRAINABLE: &str = "trainable.safetensors";
pub(crate) const OPTIMIZER: &str = "optimizer.safetensors";
pub(crate) const STATE: &str = "state.json";
const PREFIX: &str = "checkpoint-";
const BEST: &str = "best-";

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Updates done.
    pub(crate) update: u64,
    /// Epoch of the next update, from 0.
    pub(crate) epoch: u64,
    /// Notes of that epoch already used. The order of an epoch follows from the seed and the epoch's number.
    pub(crate) next_note: usize,
    /// Seed of order and dropout; the generators are functions of it and of the two numbers above.
    pub(crate) seed: u64,
    /// SHA-256 of the notes trained on.
    pub(crate) notes_sha256: String,
    /// The last validation.
    pub(crate) last: Option<Validation>,
    /// Best validation so far and the update it was made at.
    pub(crate) best: Option<(u64, Validation)>,
    /// Epochs since then.
    pub(crate) epochs_since_best: u64,
    /// SHA-256 of the resolved recipe.
    pub(crate) recipe_sha256: String,
    /// Processes that make an update together: with more of them an update is of more notes.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub(crate) ranks: usize,
}

fn one() -> usize {
    1
}

fn is_one(count: &usize) -> bool {
    *count == 1
}

impl State {
    /// Name of the checkpoint of this state. The end of an epoch and the beginning of the next are two states of one
    /// update: between them lies the validation.
    fn checkpoint_name(&self) -> String {
        format!("{PREFIX}{:04}-{:08}", self.epoch, self.update)
    }
}

/// Where the trained values of the best validation stand, if it was made at `update`.
pub(crate) fn best_path(run: &Path, update: u64) -> PathBuf {
    run.join(format!("{BEST}{update:08}.safetensors"))
}

/// Entries of `run` whose name begins with `prefix`, by name.
fn entries(run: &Path, prefix: &str) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(run).at(run)? {
        let entry = entry.at(run)?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(prefix)) {
            found.push(entry.path());
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// The complete checkpoints of a run folder, the latest first.
fn placed(run: &Path) -> Result<Vec<PathBuf>> {
    let place = |path: &PathBuf| -> Option<(u64, u64)> {
        let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
        let (epoch, update) = name.split_once('-')?;
        Some((update.parse().ok()?, epoch.parse().ok()?))
    };
    let found = entries(run, PREFIX)?.into_iter();
    let mut placed: Vec<_> = found.filter_map(|path| place(&path).map(|place| (place, path))).collect();
    placed.sort_unstable_by(|a, b| b.cmp(a));
    Ok(placed.into_iter().map(|(_, path)| path).collect())
}

/// The latest complete checkpoint of a run folder.
pub(crate) fn latest(run: &Path) -> Result<Option<PathBuf>> {
    Ok(placed(run)?.into_iter().next())
}

/// Writes a checkpoint whole, then removes those before the `keep_last` latest and the best values no longer spoken of.
///
/// # Errors
/// [`Error::NotFinite`] if something trained is not: such a state is none to continue from.
pub(crate) fn save(
    run: &Path,
    model: &mut dyn Walk,
    optimizer: &AdamW,
    state: &State,
    keep_last: usize,
) -> Result<()> {
    let path = run.join(state.checkpoint_name());
    // A checkpoint is complete if it is there, and one place in the data has one state.
    if !path.exists() {
        let folder = NewFolder::create(&path, false)?;
        save_trainable(&folder.path().join(TRAINABLE), model)?;
        save_optimizer(&folder.path().join(OPTIMIZER), optimizer)?;
        save_state(folder.path(), state)?;
        folder.finish()?;
    }
    tidy(run, keep_last)
}

/// Removes the checkpoints before the `keep_last` latest, and the best values that none of these speaks of.
pub(crate) fn tidy(run: &Path, keep_last: usize) -> Result<()> {
    let mut kept = placed(run)?;
    for older in kept.split_off(keep_last.min(kept.len())) {
        files::remove_folder(&older)?;
    }
    // A state that cannot be read speaks of nothing.
    let states = kept.iter().filter_map(|kept| read_state(&kept.join(STATE)).ok());
    let best = |state: State| state.best.map(|(update, _)| best_path(run, update));
    let spoken_of: Vec<PathBuf> = states.filter_map(best).collect();
    for older in entries(run, BEST)?.iter().filter(|older| !spoken_of.contains(older)) {
        fs::remove_file(older).at(older)?;
    }
    Ok(())
}

/// Reads a `state.json`.
pub(crate) fn read_state(path: &Path) -> Result<State> {
    serde_json::from_slice(&files::read(path)?).map_err(|e| Error::Input(format!("{}: {e}", path.display())))
}

/// Writes `state.json` into `folder`.
fn save_state(folder: &Path, state: &State) -> Result<()> {
    let json = serde_json::to_string_pretty(state).expect("numbers and strings serialise");
    files::write_atomic(&folder.join(STATE), json.as_bytes())
}

/// Reads a checkpoint back into `model`; returns optimiser and state.
pub(crate) fn load(path: &Path, model: &mut dyn Walk, device: &Device) -> Result<(AdamW, State)> {
    let state = read_state(&path.join(STATE))?;
    load_trainable(&path.join(TRAINABLE), model)?;
    let rows = read_rows(&path.join(OPTIMIZER))?;
    let mut moments = BTreeMap::new();
    for (name, m) in &rows {
        let Some(name) = name.strip_prefix("m/") else {
            continue;
        };
        let v = rows.get(&format!("v/{name}")).ok_or_else(|| damaged(&path.join(OPTIMIZER)))?;
        moments.insert(name.to_owned(), (row(m.clone(), device), row(v.clone(), device)));
    }
    Ok((AdamW { moments, updates: state.update }, state))
}

/// Writes everything `model` trains.
///
/// # Errors
/// [`Error::NotFinite`] naming the first tensor that is not.
pub(crate) fn save_trainable(path: &Path, model: &mut dyn Walk) -> Result<()> {
    let mut rows = BTreeMap::new();
    for_each_param(model, |owner, name, param| {
        if param.is_trainable() {
            rows.insert(full_name(owner, name), param.flat());
        }
    });
    let data = to_host(rows);
    let finite = |values: &TensorData| {
        let values = values.as_slice::<f32>().expect("asked for as f32");
        values.iter().all(|v| v.is_finite())
    };
    if let Some((name, _)) = data.iter().find(|(_, values)| !finite(values)) {
        return Err(Error::NotFinite(format!("the trained {name} is not finite")));
    }
    write_rows(path, &data)
}

/// Puts what [`save_trainable`] wrote back.
pub(crate) fn load_trainable(path: &Path, model: &mut dyn Walk) -> Result<()> {
    let mut rows = read_rows(path)?;
    let mut fits = true;
    for_each_param(model, |owner, name, mut param| {
        if !param.is_trainable() {
            return;
        }
        let size: usize = param.shape().iter().product();
        match rows.remove(&full_name(owner, name)).filter(|values| values.len() == size) {
            Some(values) => {
                let device = param.flat().device();
                param.set_flat(row(values, &device));
            }
            None => fits = false,
        }
    });
    if fits && rows.is_empty() { Ok(()) } else { Err(damaged(path)) }
}

fn save_optimizer(path: &Path, optimizer: &AdamW) -> Result<()> {
    let mut rows = BTreeMap::new();
    for (name, (m, v)) in &optimizer.moments {
        rows.insert(format!("m/{name}"), m.clone());
        rows.insert(format!("v/{name}"), v.clone());
    }
    write_rows(path, &to_host(rows))
}

fn row(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), (&device.clone().inner(), DType::F32))
}

fn to_host(rows: BTreeMap<String, Tensor<1>>) -> Vec<(String, TensorData)> {
    rows.into_iter().map(|(name, values)| (name, values.into_data_as::<f32>())).collect()
}

fn write_rows(path: &Path, data: &[(String, TensorData)]) -> Result<()> {
    let views = data.iter().map(|(name, values)| {
        let view = TensorView::new(Dtype::F32, values.shape().to_vec(), values.as_bytes());
        (name, view.expect("a tensor's bytes match its shape"))
    });
    let bytes = safetensors::serialize(views, None).expect("views were checked one by one");
    files::write_atomic(path, &bytes)
}

fn read_rows(path: &Path) -> Result<BTreeMap<String, Vec<f32>>> {
    let bytes = files::read(path)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|_| damaged(path))?;
    let floats = |view: &TensorView<'_>| -> Vec<f32> {
        view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
    };
    Ok(tensors.iter().map(|(name, view)| (name.to_owned(), floats(&view))).collect())
}

pub(crate) fn damaged(path: &Path) -> Error {
    Error::Input(format!(
        "{}: not the state of this run; delete that checkpoint to continue from the one before, if training.keep_last left \
         one, or begin anew with --overwrite",
        path.display()
    ))
}
