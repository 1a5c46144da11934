//! Bundles: a packed base, adapters and tasks in a manifest and shards, as `clinlora export` writes and a browser loads them.
//!
//! Bytes in, tensors out: files and networks are the caller's. [`Bundle::parse`] reads `manifest.json`; a [`ShardSource`] then
//! hands out ranges of the shards, which the caller has verified ([`Manifest::verify_shard`]).

mod manifest;
mod tasks;
mod writer;

use std::collections::{BTreeMap, BTreeSet};

use half::f16;

use self::manifest::refuse;
pub use self::manifest::{
    Adapter, Base, BundleTensor, FORMAT, File, Format, MANIFEST_BYTES, Manifest, ModelCard, SHARD_BYTES,
    Segment, VERSION, sha256,
};
pub use self::tasks::{Agreement, BundleTask, Evidence, OperatingPoint, OperatingPoints, ReliabilityBin};
pub use self::writer::{ShardWriter, encode};
use crate::config::LlamaConfig;
use crate::error::{Error, Misshapen};
use crate::quant::{Bits, row_words, scales_are_sound, unpack_row};

/// Bytes of a bundle's shards, wherever they lie: files, a browser's private file system, memory.
pub trait ShardSource {
    /// Fills `into` with the bytes of shard `shard` from `offset` on.
    ///
    /// # Errors
    /// [`Error::Container`] if they cannot be read.
    fn read(&self, shard: usize, offset: u64, into: &mut [u8]) -> Result<(), Error>;
}

/// Shards in memory.
impl ShardSource for Vec<Vec<u8>> {
    fn read(&self, shard: usize, offset: u64, into: &mut [u8]) -> Result<(), Error> {
        let bytes = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(into.len())?;
            self.get(shard)?.get(start..end)
        });
        let Some(bytes) = bytes else {
            let what = format!("shard {shard}");
            return Err(Error::Container { what, reason: "shorter than the manifest says".to_owned() });
        };
        into.copy_from_slice(bytes);
        Ok(())
    }
}

/// A manifest that fits a model: every tensor the model needs is there, in its shape.
#[derive(Debug, Clone, PartialEq)]
pub struct Bundle {
    manifest: Manifest,
    config: Option<LlamaConfig>,
}

impl Bundle {
    /// Reads and checks `manifest.json`.
    ///
    /// # Errors
    /// [`Error::Bundle`] as [`Manifest::parse`]; [`Error::Config`] for a configuration that cannot be run;
    /// [`Error::Tensors`] with every tensor that does not fit it.
    pub fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let manifest = Manifest::parse(bytes)?;
        let config = match &manifest.base {
            Some(base) => {
                let json = serde_json::to_vec(&base.config).expect("what was read can be written");
                let config = LlamaConfig::from_json(&json)?;
                check_tensors(base, &config)?;
                Some(config)
            }
            None => None,
        };
        let bundle = Self { manifest, config };
        if let Some(config) = &bundle.config {
            bundle.check_fits(config)?;
        }
        Ok(bundle)
    }

    /// What `manifest.json` says.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Configuration of the base, if the bundle holds one.
    #[must_use]
    pub fn config(&self) -> Option<&LlamaConfig> {
        self.config.as_ref()
    }

    /// The task of this name.
    ///
    /// # Errors
    /// [`Error::Bundle`] with the names there are.
    pub fn task(&self, name: &str) -> Result<&BundleTask, Error> {
        let tasks = &self.manifest.tasks;
        tasks.iter().find(|task| task.name == name).ok_or_else(|| {
            let names: Vec<&str> = tasks.iter().map(|task| task.name.as_str()).collect();
            Error::Bundle { reason: format!("no task {name}; the bundle holds [{}]", names.join(", ")) }
        })
    }

    /// Whether adapters and heads fit a base of this configuration.
    ///
    /// # Errors
    /// [`Error::Tensors`] with every tensor that does not.
    pub(crate) fn check_fits(&self, config: &LlamaConfig) -> Result<(), Error> {
        let sites: BTreeMap<String, [usize; 2]> = config.sites().into_iter().collect();
        for adapter in &self.manifest.adapters {
            let (mut unexpected, mut misshapen) = (Vec::new(), Vec::new());
            for tensor in &adapter.tensors {
                let half =
                    tensor.name.rsplit_once(".lora_").and_then(|(path, half)| Some((half, sites.get(path)?)));
                let expected = match half {
                    Some(("A.weight", [_, d_in])) => [adapter.r, *d_in],
                    Some(("B.weight", [d_out, _])) => [*d_out, adapter.r],
                    _ => {
                        unexpected.push(tensor.name.clone());
                        continue;
                    }
                };
                misshapen.extend(misfit(tensor, &expected));
            }
            let names: BTreeSet<&str> = adapter.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
            let halves = adapter.tensors.iter().filter_map(|tensor| {
                let (path, half) = tensor.name.rsplit_once(".lora_")?;
                Some(format!("{path}.lora_{}", if half == "A.weight" { "B.weight" } else { "A.weight" }))
            });
            let missing: Vec<String> = halves.filter(|name| !names.contains(name.as_str())).collect();
            if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
                let what = format!("adapter {}", adapter.name);
                return Err(Error::Tensors { what, missing, unexpected, misshapen });
            }
        }
        for task in &self.manifest.tasks {
            if let Some(misfit) = misfit(&task.head, &[task.labels.len(), config.hidden_size]) {
                let what = format!("the head of task {}", task.name);
                let misshapen = vec![misfit];
                return Err(Error::Tensors { what, missing: Vec::new(), unexpected: Vec::new(), misshapen });
            }
        }
        Ok(())
    }
}

/// The tensors of a decoder of this configuration, against those in the bundle.
fn check_tensors(base: &Base, config: &LlamaConfig) -> Result<(), Error> {
    // A browser counts in 32 bits: what `sites` multiplies must stay below.
    let heads = config.num_attention_heads.max(config.num_key_value_heads) as u64;
    if heads * config.head_dim as u64 > 1 << 24
        || config.hidden_size as u64 * config.vocab_size as u64 > 1 << 40
    {
        return refuse("the configuration of the base asks for a model no program could hold");
    }
    let mut stored: BTreeMap<&str, &BundleTensor> =
        base.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let (mut missing, mut misshapen, mut misformed) = (Vec::new(), Vec::new(), Vec::new());
    for (name, shape, format) in decoder_tensors(base.bits, config) {
        match stored.remove(name.as_str()) {
            None => missing.push(name),
            Some(tensor) => {
                misshapen.extend(misfit(tensor, &shape));
                if tensor.format != format {
                    misformed.push(format!("{name} is {:?}, not {format:?}", tensor.format));
                }
            }
        }
    }
    let unexpected: Vec<String> = stored.into_keys().map(str::to_owned).collect();
    if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
        return Err(Error::Tensors { what: "the bundle".to_owned(), missing, unexpected, misshapen });
    }
    match misformed.first() {
        Some(first) => refuse(format!("tensor {first}")),
        None => Ok(()),
    }
}

/// Name, shape and form of every tensor of a decoder, in the order a model is built.
#[must_use]
pub fn decoder_tensors(bits: Bits, config: &LlamaConfig) -> Vec<(String, Vec<usize>, Format)> {
    let norm = |name: String| (name, vec![config.hidden_size], Format::F32);
    let mut tensors =
        vec![(EMBEDDING.to_owned(), vec![config.vocab_size, config.hidden_size], Format::Int8Rows)];
    let sites = config.sites();
    for (layer, sites) in sites.chunks(sites.len() / config.num_hidden_layers).enumerate() {
        for (path, [d_out, d_in]) in sites {
            if path.ends_with("q_proj") {
                tensors.push(norm(format!("model.layers.{layer}.input_layernorm.weight")));
            } else if path.ends_with("gate_proj") {
                tensors.push(norm(format!("model.layers.{layer}.post_attention_layernorm.weight")));
            }
            tensors.push((format!("{path}.weight"), vec![*d_out, *d_in], Format::packed(bits)));
            if if path.contains(".mlp.") { config.mlp_bias } else { config.attention_bias } {
                tensors.push((format!("{path}.bias"), vec![*d_out], Format::F32));
            }
        }
    }
    tensors.push(norm("model.norm.weight".to_owned()));
    tensors
}

/// Name of the token embedding.
pub const EMBEDDING: &str = "model.embed_tokens.weight";

fn misfit(tensor: &BundleTensor, expected: &[usize]) -> Option<Misshapen> {
    let found: Vec<usize> =
        tensor.shape.iter().map(|size| usize::try_from(*size).unwrap_or(usize::MAX)).collect();
    (found != expected).then(|| Misshapen { name: tensor.name.clone(), expected: expected.to_vec(), found })
}

impl BundleTensor {
    /// Sizes of the dimensions.
    pub(crate) fn dims(&self) -> Vec<usize> {
        self.shape
            .iter()
            .map(|size| usize::try_from(*size).expect("a manifest's sizes are below 2^24"))
            .collect()
    }

    /// All bytes, from its segments in order.
    ///
    /// # Errors
    /// As [`ShardSource::read`].
    pub fn read(&self, source: &dyn ShardSource) -> Result<Vec<u8>, Error> {
        let total: u64 = self.segments.iter().map(|segment| segment.bytes).sum();
        let total = usize::try_from(total).map_err(|_| self.too_large())?;
        let mut bytes = vec![0; total];
        let mut rest = bytes.as_mut_slice();
        for segment in &self.segments {
            let length = usize::try_from(segment.bytes).map_err(|_| self.too_large())?;
            let (into, after) = rest.split_at_mut(length);
            source.read(segment.shard, segment.offset, into)?;
            rest = after;
        }
        Ok(bytes)
    }

    /// The words of a packed matrix.
    ///
    /// # Errors
    /// As [`ShardSource::read`]; [`Error::NotFinite`] for a scale that is no number.
    pub fn read_words(&self, source: &dyn ShardSource) -> Result<Vec<u32>, Error> {
        let words = words(&self.read(source)?);
        let bits = match self.format {
            Format::Int4 => Bits::Four,
            Format::Int8 => Bits::Eight,
            Format::Int8Rows | Format::F16 | Format::F32 => {
                return refuse(format!("tensor {} is no packed matrix", self.name));
            }
        };
        if scales_are_sound(&words, bits) { Ok(words) } else { Err(self.not_finite()) }
    }

    /// The values of a tensor that is not packed, as f32.
    ///
    /// # Errors
    /// As [`ShardSource::read`]; [`Error::NotFinite`].
    pub fn read_values(&self, source: &dyn ShardSource) -> Result<Vec<f32>, Error> {
        let bytes = self.read(source)?;
        let count = self.dims().into_iter().product();
        let values: Vec<f32> = match self.format {
            Format::F16 => {
                let halves = bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32());
                halves.take(count).collect() // without the half that fills the last word
            }
            Format::F32 => words(&bytes).into_iter().map(f32::from_bits).collect(),
            Format::Int4 | Format::Int8 | Format::Int8Rows => {
                return refuse(format!("tensor {} is packed", self.name));
            }
        };
        if values.iter().all(|v| v.is_finite()) {
            return Ok(values);
        }
        Err(self.not_finite())
    }

    /// Appends row `row` of a table of packed rows to `values`, reading that row alone.
    ///
    /// # Errors
    /// As [`ShardSource::read`]; [`Error::Bundle`] if it has no such row.
    pub fn read_row(&self, source: &dyn ShardSource, row: u64, values: &mut Vec<f32>) -> Result<(), Error> {
        let (Format::Int8Rows, [rows, width]) = (self.format, self.shape.as_slice()) else {
            return refuse(format!("tensor {} is no table of rows", self.name));
        };
        if row >= *rows {
            return refuse(format!("tensor {} has {rows} rows, and row {row} was asked for", self.name));
        }
        let row_bytes = 4 * row_words(*width);
        let mut before = row * row_bytes;
        for segment in &self.segments {
            if before < segment.bytes {
                let mut bytes = vec![0; usize::try_from(row_bytes).map_err(|_| self.too_large())?];
                source.read(segment.shard, segment.offset + before, &mut bytes)?;
                let width = usize::try_from(*width).map_err(|_| self.too_large())?;
                let first = values.len();
                unpack_row(&words(&bytes), width, values);
                let finite = values[first..].iter().all(|v| v.is_finite());
                return if finite { Ok(()) } else { Err(self.not_finite()) };
            }
            before -= segment.bytes;
        }
        refuse(format!("tensor {} ends before row {row}", self.name))
    }

    fn not_finite(&self) -> Error {
        Error::NotFinite { what: "the bundle".to_owned(), name: self.name.clone() }
    }

    fn too_large(&self) -> Error {
        Error::Bundle { reason: format!("tensor {} is larger than this device can address", self.name) }
    }
}

fn words(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

#[cfg(test)]
pub(crate) mod tests;
