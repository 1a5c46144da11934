//! Filling shards: tensors one after the other, cut where a shard is full.

use std::collections::BTreeMap;

use burn::tensor::Tensor;
use half::f16;

use super::decoder_tensors;
use super::manifest::{BundleTensor, File, Format, SHARD_BYTES, Segment, sha256};
use crate::config::LlamaConfig;
use crate::error::Error;
use crate::quant::{Bits, Moments, pack, pack_for, pack_rows, row_words};
use crate::weights::{Init, Weights};

/// Tensors begin at a multiple of this: what a graphics device asks of an offset.
const ALIGNMENT: usize = 256;

/// Cuts tensors into shards and hands each full one to `store`, with its name.
pub struct ShardWriter<F> {
    store: F,
    shards: Vec<File>,
    open: Vec<u8>,
    prefix: &'static str,
    shard_bytes: usize,
}

impl<E: From<Error>, F: FnMut(&str, &[u8]) -> Result<(), E>> ShardWriter<F> {
    /// Writes shards `base-00001.bin`, `base-00002.bin` and so on.
    pub fn new(store: F) -> Self {
        let shard_bytes = usize::try_from(SHARD_BYTES).expect("16 MiB can be addressed");
        Self { store, shards: Vec::new(), open: Vec::new(), prefix: "base", shard_bytes }
    }

    /// The same with smaller shards.
    #[must_use]
    pub fn with_shard_bytes(self, shard_bytes: usize) -> Self {
        Self { shard_bytes, ..self }
    }

    /// Ends the open shard; what follows lies in shards called `prefix`.
    ///
    /// # Errors
    /// Whatever `store` says.
    pub fn begin(&mut self, prefix: &'static str) -> Result<(), E> {
        self.close()?;
        self.prefix = prefix;
        Ok(())
    }

    /// Appends one tensor.
    ///
    /// # Errors
    /// Whatever `store` says.
    pub fn add(
        &mut self,
        name: &str,
        shape: &[usize],
        format: Format,
        mut bytes: &[u8],
    ) -> Result<BundleTensor, E> {
        let unit = match (format, shape) {
            (Format::Int8Rows, [_, width]) => {
                4 * usize::try_from(row_words(*width as u64)).expect("a row in memory")
            }
            _ => 4,
        };
        self.open.resize(self.open.len().next_multiple_of(ALIGNMENT), 0);
        let mut segments = Vec::new();
        while !bytes.is_empty() {
            let room = self.shard_bytes.saturating_sub(self.open.len()) / unit * unit;
            if room == 0 {
                if self.open.is_empty() {
                    return Err(E::from(Error::Bundle {
                        reason: format!("a row of {name} is larger than a shard"),
                    }));
                }
                self.close()?;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let segment =
                Segment { shard: self.shards.len(), offset: self.open.len() as u64, bytes: now.len() as u64 };
            segments.push(segment);
            self.open.extend_from_slice(now);
            bytes = later;
        }
        let shape = shape.iter().map(|size| *size as u64).collect();
        Ok(BundleTensor { name: name.to_owned(), shape, format, segments })
    }

    /// Ends the last shard; returns the table of all.
    ///
    /// # Errors
    /// Whatever `store` says.
    pub fn finish(mut self) -> Result<Vec<File>, E> {
        self.close()?;
        Ok(self.shards)
    }

    fn close(&mut self) -> Result<(), E> {
        if self.open.is_empty() {
            return Ok(());
        }
        let own = self.shards.iter().filter(|shard| shard.file.starts_with(self.prefix)).count();
        let file = format!("{}-{:05}.bin", self.prefix, own + 1);
        (self.store)(&file, &self.open)?;
        self.shards.push(File { file, bytes: self.open.len() as u64, sha256: sha256(&self.open) });
        self.open.clear();
        Ok(())
    }

    /// Packs every tensor of a decoder, each read, packed and forgotten before the next. `progress` is told how many of how
    /// many are done.
    ///
    /// Problems of `weights` are its own to tell: a tensor it could not give is left out here.
    ///
    /// # Errors
    /// Whatever `store` says; [`Error::Bundle`] for a value that cannot be packed.
    pub fn add_decoder<W: Weights>(
        &mut self,
        config: &LlamaConfig,
        bits: Bits,
        weights: &mut W,
        inputs: &BTreeMap<String, Moments>,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<Vec<BundleTensor>, E> {
        let wanted = decoder_tensors(bits, config);
        let mut tensors = Vec::with_capacity(wanted.len());
        for (done, (name, shape, format)) in wanted.iter().enumerate() {
            progress(done, wanted.len());
            let values = match shape.as_slice() {
                [n] => flat(weights.tensor::<1>(name, [*n], Init::Ones), *n),
                [n, k] => {
                    let std = Init::Normal(config.initializer_range);
                    flat(weights.tensor::<2>(name, [*n, *k], std), n * k)
                }
                _ => None,
            };
            let Some(values) = values else { continue };
            let bytes = match (format, shape.as_slice(), inputs.get(name)) {
                (Format::Int4, [n, k], Some(inputs)) => {
                    pack_for(&values, [*n, *k], Bits::Four, Some(inputs)).map(bytes_of)
                }
                _ => encode(&values, shape, *format),
            };
            let bytes = bytes.ok_or_else(|| cannot_pack(name))?;
            tensors.push(self.add(name, shape, *format, &bytes)?);
        }
        progress(wanted.len(), wanted.len());
        Ok(tensors)
    }
}

/// The values of a tensor, unless it is the placeholder of one that is missing.
fn flat<const D: usize>(tensor: Tensor<D>, count: usize) -> Option<Vec<f32>> {
    (tensor.shape().num_elements() == count).then(|| {
        let data = tensor.into_data_as::<f32>();
        data.as_slice::<f32>().expect("asked for as f32").to_vec()
    })
}

/// The bytes of `values` in a form; none if one of them has none in it.
#[must_use]
pub fn encode(values: &[f32], shape: &[usize], format: Format) -> Option<Vec<u8>> {
    let finite = |values: &[f32]| values.iter().all(|v| v.is_finite());
    match (format, shape) {
        (Format::Int4, [n, k]) => pack(values, [*n, *k], Bits::Four).map(bytes_of),
        (Format::Int8, [n, k]) => pack(values, [*n, *k], Bits::Eight).map(bytes_of),
        (Format::Int8Rows, [_, width]) => pack_rows(values, *width).map(bytes_of),
        (Format::F32, _) => finite(values).then(|| bytes_of(values.iter().map(|v| v.to_bits()).collect())),
        (Format::F16, _) => {
            let halves: Vec<f16> = values.iter().map(|v| f16::from_f32(*v)).collect();
            let mut bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            halves.iter().all(|half| half.is_finite()).then_some(bytes)
        }
        _ => None,
    }
}

fn bytes_of(words: Vec<u32>) -> Vec<u8> {
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

fn cannot_pack(name: &str) -> Error {
    let reason = format!(
        "tensor {name} holds a value that is not finite or too large to pack; the checkpoint is damaged"
    );
    Error::Bundle { reason }
}
