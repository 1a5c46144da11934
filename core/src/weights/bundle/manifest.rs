//! `manifest.json`: what a bundle states about itself, and every check that needs no model and no tensors.
//!
//! A bundle holds a packed base, adapters on it, tasks, or all of them. Its tensors lie in shards of at most 16 MiB; one that
//! is larger lies in several segments, in order. [`Manifest::parse`] believes nothing: sizes, offsets and counts are checked
//! in 64 bits before anything is allocated by them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::tasks::BundleTask;
use crate::error::Error;
use crate::quant::{Bits, matrix_words, row_words};

/// What the first key of a manifest says.
pub const FORMAT: &str = "clinlora-bundle";

/// Version of the manifest this program reads and writes.
pub const VERSION: u32 = 1;

/// Most bytes of a shard.
pub const SHARD_BYTES: u64 = 16 << 20;

/// Most bytes of a manifest: 2,000 labels with descriptions and tables of thresholds take one.
pub const MANIFEST_BYTES: usize = 32 << 20;

/// Largest dimension of a tensor, as in a model's configuration.
const LARGEST: u64 = 1 << 24;

/// What `manifest.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Always [`FORMAT`].
    pub format: String,
    /// Always [`VERSION`].
    pub version: u32,
    /// Program that wrote it.
    pub generator: String,
    /// Hash of the base these adapters and tasks are for, as [`Manifest::base_hash`] of its own bundle.
    pub base_sha256: String,
    /// The base; absent where the bundle holds adapters for one that is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Base>,
    /// Files of tensors; those of the base come first.
    pub shards: Vec<File>,
    /// Adapters, each stored once however many tasks use it.
    #[serde(default)]
    pub adapters: Vec<Adapter>,
    /// Tasks.
    #[serde(default)]
    pub tasks: Vec<BundleTask>,
    /// What is said of model and data.
    pub card: ModelCard,
}

/// A packed decoder without a head.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    /// Bits of the linear layers' weights.
    pub bits: Bits,
    /// Hugging Face `config.json`.
    pub config: serde_json::Value,
    /// The tokenizer.
    pub tokenizer: File,
    /// Its tensors.
    pub tensors: Vec<BundleTensor>,
}

/// A file beside the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// Name, without folders.
    pub file: String,
    /// Size.
    pub bytes: u64,
    /// Lower-case hexadecimal.
    pub sha256: String,
}

/// Form of a tensor's bytes, little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Packed blocks of 4-bit codes.
    Int4,
    /// Packed blocks of 8-bit codes.
    Int8,
    /// Packed rows of 8-bit codes; a segment holds whole rows.
    Int8Rows,
    /// IEEE halves.
    F16,
    /// 32-bit floats.
    F32,
}

impl Format {
    /// Blocks of these codes.
    #[must_use]
    pub fn packed(bits: Bits) -> Self {
        match bits {
            Bits::Four => Self::Int4,
            Bits::Eight => Self::Int8,
        }
    }

    /// Bytes of a tensor of this shape; none for a shape this form does not have.
    #[must_use]
    pub fn bytes(self, shape: &[u64]) -> Option<u64> {
        let words = match (self, shape) {
            (Self::Int4, [n, k]) => matrix_words([*n, *k], Bits::Four),
            (Self::Int8, [n, k]) => matrix_words([*n, *k], Bits::Eight),
            (Self::Int8Rows, [rows, width]) => rows.checked_mul(row_words(*width))?,
            // A half-filled word ends a tensor of halves: offsets stay whole words.
            (Self::F16, [_] | [_, _]) => product(shape)?.div_ceil(2),
            (Self::F32, [_] | [_, _]) => product(shape)?,
            _ => return None,
        };
        words.checked_mul(4)
    }
}

fn product(shape: &[u64]) -> Option<u64> {
    shape.iter().try_fold(1_u64, |product, size| product.checked_mul(*size))
}

/// A named tensor and where its bytes lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BundleTensor {
    /// Hugging Face or PEFT name.
    pub name: String,
    /// Sizes of the dimensions, without padding.
    pub shape: Vec<u64>,
    /// Form of the bytes.
    pub format: Format,
    /// Parts in order.
    pub segments: Vec<Segment>,
}

/// A run of bytes of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Place in the list of shards.
    pub shard: usize,
    /// First byte; a multiple of 4.
    pub offset: u64,
    /// Length; a multiple of 4.
    pub bytes: u64,
}

/// A LoRA adapter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Name in this bundle.
    pub name: String,
    /// SHA-256 of the adapter's weights as they were trained.
    pub sha256: String,
    /// Rank.
    pub r: usize,
    /// Factor before `B·A`.
    pub scale: f64,
    /// Its tensors, f16, by PEFT's names within the model: `model.layers.0.self_attn.q_proj.lora_A.weight`.
    pub tensors: Vec<BundleTensor>,
}

/// What is said of a model: the fields a clinician's page shows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelCard {
    /// Name of the model.
    pub name: String,
    /// Licence of weights and adapters.
    pub licence: String,
    /// Who may use it, for what.
    pub intended_use: String,
    /// What it must not be used for, and where it fails.
    pub limitations: String,
    /// What it was trained on.
    pub training_data: String,
    /// Who answers for it.
    pub contact: String,
    /// Fingerprint of the checkpoint before packing, as adapters' folders state it.
    pub base_fingerprint: String,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// [`Error::Bundle`] for what is not JSON, another version, or the first thing that contradicts itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        if bytes.len() > MANIFEST_BYTES {
            return refuse(format!(
                "manifest.json has {} bytes; at most {MANIFEST_BYTES} are read",
                bytes.len()
            ));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|e| not_json(&e))?;
        if head.format != FORMAT {
            return refuse("manifest.json is not that of a bundle: its format is another");
        }
        if head.version != VERSION {
            return refuse(format!(
                "manifest.json has version {}, and this program reads version {VERSION}; export the bundle again, or use \
                 the program it was made for",
                head.version
            ));
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|e| not_json(&e))?;
        manifest.validate()?;
        Ok(manifest)
    }

    /// The bytes of `manifest.json`.
    ///
    /// # Errors
    /// [`Error::Bundle`] if it would not be read again.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        let bytes = serde_json::to_vec_pretty(self).map_err(|e| Error::Bundle { reason: e.to_string() })?;
        if Self::parse(&bytes)? != *self {
            return refuse("a number of the manifest does not survive being written");
        }
        Ok(bytes)
    }

    /// Whether `bytes` are those of shard `shard`.
    ///
    /// # Errors
    /// [`Error::Bundle`] naming the file if size or hash differ.
    ///
    /// # Panics
    /// If there is no such shard.
    pub fn verify_shard(&self, shard: usize, bytes: &[u8]) -> Result<(), Error> {
        self.shards[shard].verify(bytes)
    }

    /// Hash of the base: of its configuration, tokenizer, tensors and shards, and of nothing else in the bundle; so a bundle
    /// of the base alone and one with adapters and tasks have the same. None without a base.
    #[must_use]
    pub fn base_hash(&self) -> Option<String> {
        let base = self.base.as_ref()?;
        let shards = &self.shards[..base_shards(base).min(self.shards.len())];
        let json = serde_json::to_vec(&(base, shards)).expect("what was read can be written");
        Some(sha256(&json))
    }

    /// Every tensor: of the base, of adapters and of heads.
    pub fn tensors(&self) -> impl Iterator<Item = &BundleTensor> {
        let base = self.base.iter().flat_map(|base| &base.tensors);
        let adapters = self.adapters.iter().flat_map(|adapter| &adapter.tensors);
        base.chain(adapters).chain(self.tasks.iter().map(|task| &task.head))
    }

    fn validate(&self) -> Result<(), Error> {
        self.validate_files()?;
        self.validate_segments()?;
        let adapters = unique("adapter", self.adapters.iter().map(|adapter| adapter.name.as_str()))?;
        for adapter in &self.adapters {
            adapter.validate()?;
        }
        unique("task", self.tasks.iter().map(|task| task.name.as_str()))?;
        for task in &self.tasks {
            task.validate(&adapters)?;
        }
        if let Some(base) = &self.base {
            unique("tensor", base.tensors.iter().map(|tensor| tensor.name.as_str()))?;
            if self.base_hash().is_none_or(|hash| hash != self.base_sha256) {
                return refuse("base_sha256 is not the hash of the base beside it: the manifest was changed");
            }
        }
        Ok(())
    }

    fn validate_files(&self) -> Result<(), Error> {
        let tokenizer = self.base.iter().map(|base| &base.tokenizer);
        for file in self.shards.iter().chain(tokenizer) {
            file.validate()?;
        }
        if let Some(file) = self.shards.iter().find(|file| file.bytes > SHARD_BYTES) {
            return refuse(format!(
                "shard {} has {} bytes; at most {SHARD_BYTES} are read",
                file.file, file.bytes
            ));
        }
        let names = self.shards.iter().chain(self.base.iter().map(|base| &base.tokenizer));
        unique("file", names.map(|file| file.file.as_str()))?;
        if !is_sha256(&self.base_sha256) {
            return refuse("base_sha256 is no lower-case hexadecimal SHA-256");
        }
        Ok(())
    }

    /// Every tensor within its shards, none over another, the base's in shards of its own.
    fn validate_segments(&self) -> Result<(), Error> {
        let mut taken: Vec<(Segment, &str)> = Vec::new();
        for tensor in self.tensors() {
            tensor.validate(&self.shards)?;
            taken.extend(tensor.segments.iter().map(|segment| (*segment, tensor.name.as_str())));
        }
        taken.sort_unstable_by_key(|(segment, _)| *segment);
        for pair in taken.windows(2) {
            let [(before, first), (after, second)] = pair else { continue };
            // Neither sum overflows: each segment lies within its shard.
            if before.shard == after.shard && before.offset + before.bytes > after.offset {
                let file = &self.shards[before.shard].file;
                return refuse(format!("tensors {first} and {second} overlap in shard {file}"));
            }
        }
        if let Some(base) = &self.base {
            let own = base_shards(base);
            let others = self.adapters.iter().flat_map(|adapter| &adapter.tensors);
            let mut others = others.chain(self.tasks.iter().map(|task| &task.head));
            if let Some(tensor) = others.find(|tensor| tensor.segments.iter().any(|s| s.shard < own)) {
                return refuse(format!("tensor {} lies among the shards of the base", tensor.name));
            }
        }
        Ok(())
    }
}

/// Shards of the base: the first ones, up to the last it uses.
fn base_shards(base: &Base) -> usize {
    let segments = base.tensors.iter().flat_map(|tensor| &tensor.segments);
    segments.map(|segment| segment.shard.saturating_add(1)).max().unwrap_or(0)
}

impl File {
    /// Whether `bytes` are the file's.
    ///
    /// # Errors
    /// [`Error::Bundle`] naming the file if size or hash differ.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.len() as u64 != self.bytes {
            return refuse(format!(
                "{} has {} bytes, and the manifest says {}",
                self.file,
                bytes.len(),
                self.bytes
            ));
        }
        if sha256(bytes) != self.sha256 {
            return refuse(format!("{} does not have the manifest's SHA-256: fetch it again", self.file));
        }
        Ok(())
    }

    fn validate(&self) -> Result<(), Error> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.file.is_empty()
            || self.file.len() > 128
            || self.file.starts_with('.')
            || !self.file.chars().all(is_plain)
        {
            return refuse(
                "a file's name must be letters, digits, '.', '-' and '_', and not begin with a dot",
            );
        }
        if !is_sha256(&self.sha256) {
            return refuse(format!("sha256 of {} is no lower-case hexadecimal SHA-256", self.file));
        }
        if self.bytes == 0 {
            return refuse(format!("{} is empty", self.file));
        }
        Ok(())
    }
}

impl BundleTensor {
    fn validate(&self, shards: &[File]) -> Result<(), Error> {
        let name = &self.name;
        if name.is_empty() || name.len() > 256 {
            return refuse("a tensor's name must have from 1 to 256 bytes");
        }
        if !self.shape.iter().all(|size| (1..=LARGEST).contains(size)) {
            return refuse(format!(
                "tensor {name}: a dimension of {:?} is not from 1 to {LARGEST}",
                self.shape
            ));
        }
        let Some(bytes) = self.format.bytes(&self.shape) else {
            return refuse(format!(
                "tensor {name}: no {:?} tensor has the shape {:?}",
                self.format, self.shape
            ));
        };
        let row = match (self.format, self.shape.as_slice()) {
            (Format::Int8Rows, [_, width]) => 4 * row_words(*width),
            _ => 4,
        };
        let mut sum = 0_u64;
        for segment in &self.segments {
            let Some(shard) = shards.get(segment.shard) else {
                return refuse(format!("tensor {name}: there is no shard {}", segment.shard));
            };
            let end = segment.offset.checked_add(segment.bytes);
            if segment.bytes == 0 || end.is_none_or(|end| end > shard.bytes) {
                return refuse(format!(
                    "tensor {name}: {} bytes from {} do not lie within shard {} of {} bytes",
                    segment.bytes, segment.offset, shard.file, shard.bytes
                ));
            }
            if !segment.offset.is_multiple_of(4) || !segment.bytes.is_multiple_of(row) {
                return refuse(format!(
                    "tensor {name}: a segment in shard {} is cut within a value",
                    shard.file
                ));
            }
            sum = sum.saturating_add(segment.bytes);
        }
        if sum != bytes {
            return refuse(format!("tensor {name}: its segments have {sum} bytes, and its shape {bytes}"));
        }
        Ok(())
    }
}

impl Adapter {
    fn validate(&self) -> Result<(), Error> {
        let name = &self.name;
        if !is_sha256(&self.sha256) {
            return refuse(format!("adapter {name}: sha256 is no lower-case hexadecimal SHA-256"));
        }
        if !(1..=1 << 16).contains(&self.r) {
            return refuse(format!("adapter {name}: r = {}", self.r));
        }
        if self.tensors.is_empty() {
            return refuse(format!("adapter {name} has no tensor"));
        }
        unique("tensor", self.tensors.iter().map(|tensor| tensor.name.as_str()))?;
        match self.tensors.iter().find(|tensor| tensor.format != Format::F16) {
            Some(tensor) => refuse(format!("adapter {name}: tensor {} is not f16", tensor.name)),
            None => Ok(()),
        }
    }
}

/// The names, once each.
pub(super) fn unique<'a>(
    what: &str,
    names: impl Iterator<Item = &'a str>,
) -> Result<BTreeSet<&'a str>, Error> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.is_empty() {
            return refuse(format!("a name of a {what} is empty"));
        }
        if !seen.insert(name) {
            return refuse(format!("{what} {name} stands twice"));
        }
    }
    Ok(seen)
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Lower-case hexadecimal SHA-256.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// JSON's own message without the text around the fault: it names keys, line and column.
fn not_json(error: &serde_json::Error) -> Error {
    Error::Bundle { reason: format!("manifest.json is damaged or cut short: {error}") }
}

pub(super) fn refuse<T>(reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Bundle { reason: reason.into() })
}
