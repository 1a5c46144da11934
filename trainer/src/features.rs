//! What a head reads of each note, computed once where nothing below the head changes.
//!
//! If base and adapters are frozen and nothing is dropped, what the head reads of a note follows from its tokens alone, and
//! a second epoch, a second seed or the next trial of a search computes it again for nothing. So it is kept, f32, in a
//! safetensors file that is read through a memory map: one row for each *distinct* note, in the order of their tokens, so
//! that no order or split of the notes matters. The file's name is the SHA-256 of everything the rows follow from; a file
//! whose content is not what its header says is computed anew.

use std::fs::{self, File, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::config::ModelConfig;
use clinlora_core::model::head::Classifier;
use clinlora_core::peft::config::AdapterConfig;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::console;
use crate::dataset::Sample;
use crate::error::{AtPath, Error, Result};
use crate::files;
use crate::folders::base::{self, BaseFolder};
use crate::recipe::{Adapter, Method, Recipe};
use crate::training::interrupt;
use crate::training::objective::{batch, in_batches};
use crate::training::progress::Progress;

/// Version of the layout and of what the rows mean.
const FORMAT: &str = "1";
/// The tensor's name in the file.
const TENSOR: &str = "features";
/// Where the files lie beside a run, unless the recipe says otherwise.
const FOLDER: &str = "features";
/// How often a process looks whether another one is done with the same features.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Everything the features of a note follow from beside its tokens, hashed.
pub(crate) struct Key(Sha256);

/// The key of a run's features; none if the run computes its own, which is said if dropout alone is the reason.
///
/// # Errors
/// What the file system says of tokenizer and adapters.
pub(crate) fn key(
    recipe: &Recipe,
    base: &BaseFolder,
    configs: &[&AdapterConfig],
    fingerprint: &str,
    dtype: DType,
) -> Result<Option<Key>> {
    let active = || recipe.adapter.iter().zip(configs).enumerate().filter(|(_, (adapter, _))| adapter.active);
    let is_frozen = recipe.method == Method::Peft && active().all(|(_, (adapter, _))| !adapter.trainable);
    if !is_frozen || !recipe.data.keep_features {
        return Ok(None);
    }
    let dropout = active().find_map(|(_, (adapter, config))| {
        let prob = dropout_prob(config);
        (prob > 0.0).then(|| format!("dropout {prob} of the frozen adapter {}", adapter.name))
    });
    if let Some(dropout) = dropout.or_else(|| dropout_of_base(&base.config)) {
        console::note(format_args!(
            "{dropout} acts in training: what the head reads of a note is drawn anew each time, and not kept"
        ));
        return Ok(None);
    }
    let (_, tokenizer_sha256) = base::read_tokenizer(&base::tokenizer_file(&base.path)?)?;
    let mut hash = Sha256::new();
    let pooling = recipe.pooling.unwrap_or_default();
    for part in
        [FORMAT, fingerprint, &tokenizer_sha256, &format!("{dtype:?} {pooling:?} {}", recipe.max_tokens)]
    {
        add(&mut hash, part.as_bytes());
    }
    for (place, (adapter, config)) in active() {
        add(&mut hash, format!("{config:?}").as_bytes());
        add_values(&mut hash, adapter, recipe.seed, place)?;
    }
    Ok(Some(Key(hash)))
}

/// The share of values an adapter's network drops in training.
fn dropout_prob(config: &AdapterConfig) -> f64 {
    match config {
        AdapterConfig::Lora(lora) => lora.dropout_prob,
        AdapterConfig::PTuning(p_tuning) => p_tuning.dropout_prob,
        AdapterConfig::AdaptionPrompt(_) | AdapterConfig::Prefix(_) | AdapterConfig::Prompt(_) => 0.0,
    }
}

fn dropout_of_base(config: &ModelConfig) -> Option<String> {
    let ModelConfig::Bert(bert) = config else {
        return None;
    };
    let prob = bert.hidden_dropout_prob.max(bert.attention_probs_dropout_prob);
    (prob > 0.0).then(|| format!("dropout {prob} of the base"))
}

/// Adds what a frozen adapter holds: its files, or for a fresh one what its values are drawn from.
fn add_values(hash: &mut Sha256, adapter: &Adapter, seed: u64, place: usize) -> Result<()> {
    let Some(folder) = &adapter.path else {
        add(hash, &seed.to_le_bytes());
        add(hash, &(place as u64).to_le_bytes());
        return Ok(());
    };
    for name in ["adapter_model.safetensors", "adapter_model.bin", "encoder.safetensors"] {
        let path = folder.join(name);
        if path.exists() {
            add(hash, files::sha256(&files::read(&path)?).as_bytes());
        }
    }
    Ok(())
}

/// Adds `bytes` so that no other parts give the same hash.
fn add(hash: &mut Sha256, bytes: &[u8]) {
    hash.update((bytes.len() as u64).to_le_bytes());
    hash.update(bytes);
}

/// What a head reads of a set of notes.
#[derive(Debug)]
pub(crate) struct Features {
    map: Mmap,
    /// Where the first row begins in the map.
    start: usize,
    /// Values in a row.
    width: usize,
    /// Tokens of each row's note, sorted.
    notes: Vec<Vec<u32>>,
}

impl Features {
    /// Reads the features of `notes` under `model` (without autodiff) from the recipe's folder, and computes them first if
    /// they are not there as they should be. If another process computes the same, waits for it.
    ///
    /// # Errors
    /// [`Error::Interrupted`] by a signal; what the file system says; [`Error::NotFinite`] for a damaged model.
    pub(crate) fn open<'a>(
        recipe: &Recipe,
        key: Key,
        notes: impl Iterator<Item = &'a Sample>,
        model: &Classifier,
        device: &Device,
    ) -> Result<Self> {
        let mut ids: Vec<Vec<u32>> = notes.map(|note| note.ids.clone()).collect();
        ids.sort_unstable();
        ids.dedup();
        let Key(mut hash) = key;
        for note in &ids {
            let bytes: Vec<u8> = note.iter().flat_map(|id| id.to_le_bytes()).collect();
            add(&mut hash, &bytes);
        }
        let name = files::hex(&hash.finalize());
        let folder = recipe.data.features.clone().unwrap_or_else(|| beside(&recipe.out));
        fs::create_dir_all(&folder).at(&folder)?;
        let path = folder.join(format!("{name}.safetensors"));
        let file = FeatureFile { path: &path, width: model.head_width(), run: &recipe.out };
        if let Some(features) = file.read_if_whole(&ids)? {
            file.say_reused(&features);
            return Ok(features);
        }
        let lock = file.lock()?;
        let features = match file.read_if_whole(&ids)? {
            Some(features) => {
                file.say_reused(&features); // another process was faster
                features
            }
            None => {
                files::remove_begun(&path)?;
                file.compute(&ids, model, device)?;
                file.read(ids).map_err(|damage| Error::Input(format!("{}: {damage}", path.display())))?
            }
        };
        drop(lock);
        let _ = fs::remove_file(path.with_extension("lock")); // whoever waits for it holds it open
        Ok(features)
    }

    /// What the head reads of `samples`.
    ///
    /// # Shapes
    /// - result: `[B, D]`
    ///
    /// # Errors
    /// [`Error::Input`] for a note that is none of those the features were opened for.
    pub(crate) fn pooled(&self, samples: &[&Sample], device: &Device) -> Result<Tensor<2>> {
        let mut values = Vec::with_capacity(samples.len() * self.width);
        for sample in samples {
            let row = self.notes.binary_search(&sample.ids).map_err(|_| {
                Error::Input(
                    "a note has no features: the notes have changed while the run was going on".into(),
                )
            })?;
            let start = self.start + row * self.width * 4;
            let bytes = self.map[start..start + self.width * 4].chunks_exact(4);
            values.extend(bytes.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])));
        }
        let data = TensorData::new(values, [samples.len(), self.width]);
        Ok(Tensor::from_data(data, (device, DType::F32)))
    }
}

/// The default folder of a run's features: runs side by side share it.
fn beside(run: &Path) -> PathBuf {
    run.parent().unwrap_or(Path::new("")).join(FOLDER)
}

/// One file of features.
struct FeatureFile<'a> {
    path: &'a Path,
    width: usize,
    /// The run that asks for it.
    run: &'a Path,
}

impl FeatureFile<'_> {
    fn say_reused(&self, features: &Features) {
        console::note(format_args!(
            "features of {} notes are reused ({}): the base below the head is not run",
            features.notes.len(),
            self.path.display()
        ));
    }

    /// The features of the notes `ids`, if the file is there and whole; that it is damaged is said.
    fn read_if_whole(&self, ids: &[Vec<u32>]) -> Result<Option<Features>> {
        if !self.path.exists() {
            return Ok(None);
        }
        match self.read(ids.to_vec()) {
            Ok(features) => Ok(Some(features)),
            Err(damage) => {
                console::note(format_args!(
                    "{}: {damage}; the features are computed anew",
                    self.path.display()
                ));
                Ok(None)
            }
        }
    }

    fn read(&self, notes: Vec<Vec<u32>>) -> std::result::Result<Features, String> {
        let file = File::open(self.path).map_err(|e| e.to_string())?;
        // SAFETY: the map is read-only, and no process changes a file of features after giving it its name.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| e.to_string())?;
        let damaged = |what: &str| format!("damaged: {what}");
        let (header, metadata) =
            SafeTensors::read_metadata(&map).map_err(|_| damaged("no safetensors file"))?;
        let start = header + 8;
        let info = metadata.info(TENSOR).ok_or_else(|| damaged("holds no features"))?;
        if info.dtype != Dtype::F32 || info.shape != [notes.len(), self.width] {
            return Err(damaged("features of another shape"));
        }
        let expected = metadata.metadata().as_ref().and_then(|metadata| metadata.get("sha256"));
        if expected != Some(&files::sha256(&map[start..])) {
            return Err(damaged("its values are not those that were written"));
        }
        Ok(Features { map, start, width: self.width, notes })
    }

    /// The right to compute the features; waits while another process does. On a file system without locks nobody waits,
    /// and each process writes a file of its own before it gives it the name.
    fn lock(&self) -> Result<File> {
        let path = self.path.with_extension("lock");
        let lock = File::options().create(true).truncate(false).write(true).open(&path).at(&path)?;
        let mut said = false;
        loop {
            match lock.try_lock() {
                Ok(()) | Err(TryLockError::Error(_)) => return Ok(lock),
                Err(TryLockError::WouldBlock) => {}
            }
            if !said {
                console::note("another process computes the features of these notes; waiting for it");
                said = true;
            }
            self.stop_if_asked()?;
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn stop_if_asked(&self) -> Result<()> {
        match interrupt::requested() {
            Some(signal) => Err(Error::Interrupted { signal, update: 0, run: self.run.to_owned() }),
            None => Ok(()),
        }
    }

    fn compute(&self, ids: &[Vec<u32>], model: &Classifier, device: &Device) -> Result<()> {
        let mut begun = files::begin_file(self.path)?;
        let header = self.header(ids.len(), &"0".repeat(64));
        let start = header.len() as u64;
        begun.write_all(&header).at(self.path)?;
        let row_bytes = self.width as u64 * 4;
        let samples: Vec<Sample> = ids
            .iter()
            .map(|ids| Sample { id: String::new(), ids: ids.clone(), target: Vec::new() })
            .collect();
        let mut progress = Progress::new("features", 0, samples.len() as u64);
        let mut done = 0;
        in_batches(&samples, |places, notes| {
            self.stop_if_asked()?;
            let pooled = model.pooled(&batch(notes, device)?).cast(DType::F32).into_data_as::<f32>();
            let values = pooled.as_slice::<f32>().expect("asked for as f32");
            if !values.iter().all(|value| value.is_finite()) {
                let what = "what the model makes of the notes is not finite; base or adapter is damaged";
                return Err(Error::NotFinite(what.to_owned()));
            }
            for (place, row) in places.iter().zip(values.chunks_exact(self.width)) {
                let bytes: Vec<u8> = row.iter().flat_map(|value| value.to_le_bytes()).collect();
                begun.seek(SeekFrom::Start(start + *place as u64 * row_bytes)).at(self.path)?;
                begun.write_all(&bytes).at(self.path)?;
            }
            done += places.len() as u64;
            progress.set(done, String::new);
            Ok(())
        })?;
        drop(progress);
        let sha256 = hash_from(begun.as_file_mut(), start).at(self.path)?;
        begun.seek(SeekFrom::Start(0)).at(self.path)?;
        begun.write_all(&self.header(ids.len(), &sha256)).at(self.path)?;
        files::finish_file(begun, self.path)
    }

    /// The header of a safetensors file of `rows` rows whose bytes have this hash; its length depends on neither.
    fn header(&self, rows: usize, sha256: &str) -> Vec<u8> {
        let json = serde_json::json!({
            "__metadata__": {"format": "pt", "sha256": sha256},
            TENSOR: {"dtype": "F32", "shape": [rows, self.width], "data_offsets": [0, rows * self.width * 4]},
        });
        let mut json = json.to_string();
        // Blanks up to a multiple of 8 keep the values aligned.
        json.push_str(&" ".repeat(json.len().next_multiple_of(8) - json.len()));
        [&(json.len() as u64).to_le_bytes()[..], json.as_bytes()].concat()
    }
}

/// SHA-256 of a file's bytes from `start` on.
fn hash_from(file: &mut File, start: u64) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(start))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(files::hex(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}
