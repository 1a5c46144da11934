//! Making a bundle: pack, write, read back, fit, compare.
//!
//! Every tensor of the base is read, packed and forgotten before the next, so that memory does not grow with the model. Where
//! tasks come with validation notes, int4 weights are rounded for what their layers see in those (`inputs`); a base that is
//! exported alone is rounded by itself. The
//! folder is then read back as a browser would read it, hashes first, and what was read back is what calibration is fitted on
//! and what is compared with the unpacked model. Only a bundle that was read back gets its name.

pub(crate) mod calibrate;
pub(crate) mod evidence;
mod inputs;
#[cfg(test)]
mod properties;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clinlora_core::config::LlamaConfig;
use clinlora_core::engine::{Adapters, Engine};
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::probability::Calibrator;
use clinlora_core::quant::Bits;
use clinlora_core::task::{Task, TaskKind};
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::bundle::{
    Adapter, Agreement, Base, BundleTask, BundleTensor, FORMAT, File, Format, Manifest, ModelCard,
    ShardWriter, VERSION, encode, sha256,
};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use self::calibrate::{Scored, nine_figures};
use crate::commands::stack;
use crate::console;
use crate::dataset::{Sample, table, tokenise};
use crate::device::Opened;
use crate::error::{AtPath, Error, Result};
use crate::eval::{self, EvalOptions, Labels};
use crate::files::{self, NewFolder};
use crate::folders::adapter::AdapterFolder;
use crate::folders::base::BaseFolder;
use crate::folders::bundle::{BundleFolder, MANIFEST, logits};
use crate::training::objective::predict;
use crate::training::progress::Progress;

/// A task to put into a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TaskToExport {
    /// Its name in the bundle.
    pub(crate) name: String,
    /// Task file.
    pub(crate) file: PathBuf,
    /// Adapter folders, from the bottom up; the last carries the head.
    pub(crate) adapters: Vec<PathBuf>,
    /// Labelled notes to fit calibration and thresholds on.
    pub(crate) valid: Option<PathBuf>,
    /// Labelled notes nothing was fitted on.
    pub(crate) test: Option<PathBuf>,
}

/// What to export.
#[derive(Debug)]
pub(crate) struct ExportOptions {
    /// Folder of the base model.
    pub(crate) model: PathBuf,
    /// Bits of the base's weights.
    pub(crate) bits: Bits,
    /// Tasks, if any.
    pub(crate) tasks: Vec<TaskToExport>,
    /// The bundle of the base, where this one is to hold adapters and tasks alone.
    pub(crate) base: Option<PathBuf>,
    /// Notes are cut at this many tokens.
    pub(crate) max_tokens: usize,
    /// What is said of the model.
    pub(crate) card: ModelCard,
    /// Folder to make.
    pub(crate) out: PathBuf,
    /// Whether it may replace one of ours.
    pub(crate) overwrite: bool,
    /// Seed of random notes, where there are no others to compare on.
    pub(crate) seed: u64,
}

/// Writes a bundle; returns what its manifest says.
pub(crate) fn export(options: &ExportOptions, opened: &Opened) -> Result<Manifest> {
    let base = BaseFolder::open(&options.model)?;
    let config = base.llama()?.clone();
    let tasks =
        options.tasks.iter().map(|task| Prepared::read(task, &base, options)).collect::<Result<Vec<_>>>()?;
    let out = NewFolder::create(&options.out, options.overwrite)?;
    let folder = out.path().to_owned();
    let mut manifest = write(options, &base, &config, &tasks, &folder, opened)?;
    write_manifest(&folder, &manifest)?;

    let (mut engine, tokenizer) = match &options.base {
        Some(path) => {
            let (mut engine, tokenizer) = BundleFolder::open(path)?.engine(&opened.device)?;
            BundleFolder::open(&folder)?.add_to(&mut engine)?;
            (engine, tokenizer)
        }
        None => BundleFolder::open(&folder)?.engine(&opened.device)?,
    };
    for (task, stated) in tasks.iter().zip(&mut manifest.tasks) {
        measure(task, stated, &mut engine, &base, &tokenizer, options, opened)?;
    }
    write_manifest(&folder, &manifest)?;
    BundleFolder::open(&folder)?;
    out.finish()?;
    Ok(manifest)
}

fn write_manifest(folder: &Path, manifest: &Manifest) -> Result<()> {
    let path = folder.join(MANIFEST);
    files::write_atomic(&path, &manifest.to_json().at(&path)?)
}

/// A task whose files have been read.
struct Prepared {
    name: String,
    task: Task,
    paths: Vec<PathBuf>,
    valid: Vec<Sample>,
    test: Vec<Sample>,
}

impl Prepared {
    fn read(asked: &TaskToExport, base: &BaseFolder, options: &ExportOptions) -> Result<Self> {
        let task = table::read_task(&asked.file)?;
        let samples = |file: &Option<PathBuf>| match file {
            None => Ok(Vec::new()),
            Some(file) => {
                let notes = table::read(file, &task, false)?;
                tokenise(&notes, &base.tokenizer, options.max_tokens, file)
            }
        };
        let (valid, test) = (samples(&asked.valid)?, samples(&asked.test)?);
        Ok(Self { name: asked.name.clone(), task, paths: asked.adapters.clone(), valid, test })
    }
}

/// Writes shards and tokenizer into `folder`; returns a manifest whose tasks are not measured yet.
fn write(
    options: &ExportOptions,
    base: &BaseFolder,
    config: &LlamaConfig,
    tasks: &[Prepared],
    folder: &Path,
    opened: &Opened,
) -> Result<Manifest> {
    let store = |name: &str, bytes: &[u8]| files::write_atomic(&folder.join(name), bytes).map_err(NotStored);
    let mut writer = ShardWriter::new(store);
    let mut card = options.card.clone();
    let (packed, fingerprint, base_sha256) = match &options.base {
        None => {
            let mut progress: Option<Progress> = None;
            let inputs = match options.bits {
                Bits::Four => inputs::of_notes(tasks, base, opened)?,
                Bits::Eight => BTreeMap::new(), // so fine that nothing is gained
            };
            let mut weights = base.weights(&opened.device, burn::tensor::DType::F32)?;
            let packed = writer.add_decoder(config, options.bits, &mut weights, &inputs, |done, total| {
                progress
                    .get_or_insert_with(|| Progress::new("pack", 0, total as u64))
                    .set(done as u64, String::new);
            });
            let tensors = stored(packed)?;
            let fingerprint = weights.fingerprint();
            weights.finish().at(&base.path)?;
            let bytes = base.tokenizer.to_json().at(&base.path)?;
            files::write_atomic(&folder.join(TOKENIZER), &bytes)?;
            let tokenizer =
                File { file: TOKENIZER.to_owned(), bytes: bytes.len() as u64, sha256: sha256(&bytes) };
            let config = serde_json::from_str(&config.to_json()).expect("its own JSON");
            (Some(Base { bits: options.bits, config, tokenizer, tensors }), fingerprint, None)
        }
        Some(path) => {
            let packed = BundleFolder::open(path)?;
            let fingerprint = base.fingerprint(&opened.device)?;
            let stated = packed.bundle.manifest();
            if stated.base.is_none() || stated.card.base_fingerprint != fingerprint {
                return Err(Error::Input(format!(
                    "{}: not a bundle of the base in {}; give the one that was exported from it",
                    path.display(),
                    base.path.display()
                )));
            }
            (None, fingerprint, Some(stated.base_sha256.clone()))
        }
    };
    card.base_fingerprint.clone_from(&fingerprint);
    stored(writer.begin("adapters"))?;
    let mut stacks = Stacks { known: BTreeMap::new(), adapters: Vec::new(), fingerprint, config };
    let mut stated = Vec::new();
    for task in tasks {
        stated.push(stacks.add(task, options.max_tokens, &mut writer, &opened.device)?);
    }
    let adapters = stacks.adapters;
    let shards = stored(writer.finish())?;
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        generator: format!("clinlora {}", env!("CARGO_PKG_VERSION")),
        base_sha256: base_sha256.unwrap_or_default(),
        base: packed,
        shards,
        adapters,
        tasks: stated,
        card,
    };
    if let Some(hash) = manifest.base_hash() {
        manifest.base_sha256 = hash;
    }
    Ok(manifest)
}

const TOKENIZER: &str = "tokenizer.json";

/// The adapters written so far.
struct Stacks<'a> {
    /// Name by content.
    known: BTreeMap<String, String>,
    adapters: Vec<Adapter>,
    fingerprint: String,
    config: &'a LlamaConfig,
}

impl Stacks<'_> {
    /// Writes what of a task's stack is not there yet, and its head.
    fn add<F: Store>(
        &mut self,
        task: &Prepared,
        max_tokens: usize,
        writer: &mut ShardWriter<F>,
        device: &Device,
    ) -> Result<BundleTask> {
        let mut stack = Vec::new();
        let mut head = None;
        // The topmost folder is the task's own, be it an adapter or a head alone; what lies below is clinical.
        let mut clinical = 0;
        for (place, path) in task.paths.iter().enumerate() {
            let folder = AdapterFolder::open(path, "adapter", device)?;
            folder.check_base(&self.fingerprint)?;
            head = folder.head().or(head);
            if folder.adapter().is_some() {
                stack.push(self.adapter(&folder, path, task, writer)?);
            }
            if place + 1 < task.paths.len() {
                clinical = stack.len();
            }
        }
        let Some(head) = head else {
            return Err(Error::Input(format!(
                "task {}: none of its adapters carries a classification head; give the folder `finetune` made, last",
                task.name
            )));
        };
        let labels = task.task.labels.len();
        if head.weight.dims() != [labels, self.config.hidden_size] || head.bias.is_some() {
            return Err(Error::Input(format!(
                "task {}: its head has {:?} values, and the task {labels} labels on a model of width {}",
                task.name,
                head.weight.dims(),
                self.config.hidden_size
            )));
        }
        let values = head.weight.inner().into_data_as::<f32>();
        let values = values.as_slice::<f32>().expect("asked for as f32");
        let name = format!("{}.score.weight", task.name);
        let head = add_halves(writer, &name, &[labels, self.config.hidden_size], values, &task.name)?;
        Ok(BundleTask {
            name: task.name.clone(),
            title: task.task.title.clone(),
            kind: task.task.kind,
            labels: task.task.labels.clone(),
            max_tokens,
            stack,
            clinical,
            head,
            calibration: Calibrator::None,
            evidence: None,
            agreement: Agreement {
                sample: "none yet".to_owned(),
                notes: 0,
                max_difference: 0.0,
                mean_difference: 0.0,
                auroc_dense: None,
                auroc_packed: None,
            },
        })
    }

    /// Writes an adapter, unless one of the same values is there; returns its name.
    fn adapter<F: Store>(
        &mut self,
        folder: &AdapterFolder,
        path: &Path,
        task: &Prepared,
        writer: &mut ShardWriter<F>,
    ) -> Result<String> {
        let stored = folder.adapter().expect("the caller looked");
        let AdapterConfig::Lora(config) = &stored.config else {
            return Err(Error::Input(format!(
                "{}: method {}; a bundle holds LoRA adapters alone: prompts and prefixes change a note's length, which several \
                 tasks in one batch share",
                path.display(),
                stored.config.method()
            )));
        };
        let scale = nine_figures(config.scale());
        let tensors: Vec<(String, Vec<usize>, Vec<f32>)> = stored.values().collect();
        let mut content = scale.to_le_bytes().to_vec();
        for (name, shape, values) in &tensors {
            content.extend(format!("{name} {shape:?}").bytes());
            content.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        let sha256 = sha256(&content);
        if let Some(name) = self.known.get(&sha256) {
            return Ok(name.clone());
        }
        let trained_as = folder.origin.as_ref().map(|origin| origin.name.clone());
        let from_path = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let plain = trained_as.or(from_path).unwrap_or_else(|| "adapter".to_owned());
        let is_taken = |name: &str| self.adapters.iter().any(|adapter| adapter.name == name);
        let names = std::iter::once(plain.clone())
            .chain([format!("{}.{plain}", task.name)])
            .chain((2..).map(|i| format!("{}.{plain}.{i}", task.name)));
        let name = names.into_iter().find(|name| !is_taken(name)).expect("the numbers do not end");
        let mut written = Vec::new();
        for (tensor, shape, values) in &tensors {
            written.push(add_halves(writer, tensor, shape, values, &name)?);
        }
        self.adapters.push(Adapter {
            name: name.clone(),
            sha256: sha256.clone(),
            r: config.r,
            scale,
            tensors: written,
        });
        self.known.insert(sha256, name.clone());
        Ok(name)
    }
}

fn add_halves<F: Store>(
    writer: &mut ShardWriter<F>,
    name: &str,
    shape: &[usize],
    values: &[f32],
    owner: &str,
) -> Result<BundleTensor> {
    let bytes = encode(values, shape, Format::F16).ok_or_else(|| {
        Error::Input(format!(
            "{owner}: {name} holds a value that f16 does not; its training diverged, or it belongs to another base"
        ))
    })?;
    stored(writer.add(name, shape, Format::F16, &bytes))
}

/// What takes full shards.
trait Store: FnMut(&str, &[u8]) -> std::result::Result<(), NotStored> {}

impl<F: FnMut(&str, &[u8]) -> std::result::Result<(), NotStored>> Store for F {}

/// A shard that could not be written, or a tensor that could not be packed.
struct NotStored(Error);

impl From<clinlora_core::Error> for NotStored {
    fn from(error: clinlora_core::Error) -> Self {
        Self(Error::Input(error.to_string()))
    }
}

/// The program's error for it.
fn stored<T>(result: std::result::Result<T, NotStored>) -> Result<T> {
    result.map_err(|NotStored(error)| error)
}

/// Fits and measures one task on the bundle that was read back.
fn measure(
    task: &Prepared,
    stated: &mut BundleTask,
    engine: &mut Engine,
    base: &BaseFolder,
    tokenizer: &Tokenizer,
    options: &ExportOptions,
    opened: &Opened,
) -> Result<()> {
    let targets = |samples: &[Sample]| samples.iter().map(|s| s.target.clone()).collect::<Vec<_>>();
    let mut packed = |samples: &[Sample]| logits(engine, samples, &task.name, Adapters::All, |_| {});
    let kind = task.task.kind;
    let (valid_targets, test_targets) = (targets(&task.valid), targets(&task.test));
    let (valid_logits, test_logits) = (packed(&task.valid)?, packed(&task.test)?);
    let valid = Scored { kind, logits: &valid_logits, targets: &valid_targets };
    let test = Scored { kind, logits: &test_logits, targets: &test_targets };
    if !task.valid.is_empty() {
        stated.calibration = calibrate::fit(task.task.calibration, valid);
        let (held_out, split) = if task.test.is_empty() { (valid, "valid") } else { (test, "test") };
        stated.evidence = Some(evidence::of(&stated.calibration, valid, held_out, split));
    } else {
        console::note(format_args!(
            "warning: task {}: no --valid, so its probabilities are not calibrated and it has no thresholds",
            task.name
        ));
    }

    let random;
    let (sample, samples, packed_logits) = if !task.test.is_empty() {
        ("test", &task.test, test_logits.clone())
    } else if !task.valid.is_empty() {
        ("valid", &task.valid, valid_logits.clone())
    } else {
        random = random_notes(tokenizer, options);
        ("random token ids", &random, packed(&random)?)
    };
    let dense = stack::classifier(base, &task.paths, &task.task, &opened.device, opened.dtype.burn())?;
    let mut progress = Progress::new(&format!("{}: compare", task.name), 0, samples.len() as u64);
    let dense = predict(&dense, samples, &opened.device, |done| progress.set(done as u64, String::new))?;
    drop(progress);
    let labels = task.task.labels.len();
    let dense: Vec<Vec<f32>> = dense.chunks_exact(labels).map(<[f32]>::to_vec).collect();
    let (max, mean) = differences(&stated.calibration, kind, &dense, &packed_logits);
    if !(max.is_finite() && mean.is_finite()) {
        return Err(Error::NotFinite(format!(
            "task {}: a probability of the packed or the unpacked model",
            task.name
        )));
    }
    let has_truth = sample != "random token ids";
    let auroc = |logits: &[Vec<f32>]| if has_truth { auroc(kind, samples, logits) } else { Ok(None) };
    stated.agreement = Agreement {
        sample: sample.to_owned(),
        notes: samples.len(),
        max_difference: nine_figures(max),
        mean_difference: nine_figures(mean),
        auroc_dense: auroc(&dense)?,
        auroc_packed: auroc(&packed_logits)?,
    };
    Ok(())
}

/// Largest and mean difference of calibrated probabilities.
fn differences(
    calibrator: &Calibrator,
    kind: TaskKind,
    dense: &[Vec<f32>],
    packed: &[Vec<f32>],
) -> (f64, f64) {
    let (mut max, mut sum, mut count) = (0.0_f64, 0.0, 0.0);
    for (dense, packed) in dense.iter().zip(packed) {
        let pairs =
            calibrator.probabilities(kind, dense).into_iter().zip(calibrator.probabilities(kind, packed));
        for (dense, packed) in pairs {
            let difference = (dense - packed).abs();
            // Not `f64::max`, which would drop a NaN.
            max = if difference > max || difference.is_nan() { difference } else { max };
            sum += difference;
            count += 1.0;
        }
    }
    (max, sum / f64::max(count, 1.0))
}

fn auroc(kind: TaskKind, samples: &[Sample], logits: &[Vec<f32>]) -> Result<Option<f64>> {
    let labels = Labels::of(kind, samples.iter().map(|sample| sample.target.as_slice()));
    let metrics = eval::evaluate(kind, &labels, &logits.concat(), &EvalOptions::without_intervals());
    Ok(metrics.map_err(eval::refused)?.auroc.map(nine_figures))
}

/// Notes of random tokens: where nobody gave notes to compare on, these are compared.
fn random_notes(tokenizer: &Tokenizer, options: &ExportOptions) -> Vec<Sample> {
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed);
    let vocabulary = u32::try_from(tokenizer.vocab_size()).unwrap_or(u32::MAX);
    let note = |rng: &mut ChaCha8Rng| {
        let length = rng.random_range(2..=options.max_tokens.clamp(2, 256));
        let first = tokenizer.bos_id().into_iter();
        first.chain((0..length - 1).map(|_| rng.random_range(0..vocabulary))).collect()
    };
    (0..RANDOM_NOTES).map(|i| Sample { id: i.to_string(), ids: note(&mut rng), target: Vec::new() }).collect()
}

/// How many notes of random tokens.
const RANDOM_NOTES: usize = 64;
