//! Filling a model from a checkpoint, tensor by tensor, reporting everything that does not fit at once.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor, TensorData};
use half::{bf16, f16};
use sha2::{Digest, Sha256};

pub use super::source::{StoredDtype, StoredTensor, TensorSource};
use super::{Init, Weights};
use crate::error::{Error, Misshapen};

/// [`Weights`] out of the files of one checkpoint. Problems are collected; ask for them with
/// [`finish`](Self::finish) when the model is built, and drop the model if there are any.
pub struct CheckpointWeights {
    sources: Vec<Box<dyn TensorSource>>,
    /// Name asked for to (source, name in the source, shape).
    index: BTreeMap<String, (usize, String, Vec<usize>)>,
    what: String,
    device: Device,
    dtype: DType,
    missing: Vec<String>,
    misshapen: Vec<Misshapen>,
    failure: Option<Error>,
    fingerprint: Sha256,
}

/// Tensors that checkpoints carry and no model of this crate reads: tables of old conversions, and the heads of other
/// tasks.
fn is_ignorable(name: &str) -> bool {
    let of_another_task = |head: &str| name.starts_with(head);
    name.ends_with("rotary_emb.inv_freq")
        || name.ends_with("embeddings.position_ids")
        || ["lm_head.weight", "score.weight", "classifier.", "cls."].into_iter().any(of_another_task)
}

/// The name a model asks for, of a tensor called `stored` in a checkpoint whose names lack `prefix`. BERT's first
/// releases call the values of a norm gamma and beta.
fn asked_name(stored: &str, prefix: &str) -> String {
    let renamed = match stored.rsplit_once("LayerNorm.") {
        Some((path, "gamma")) => format!("{path}LayerNorm.weight"),
        Some((path, "beta")) => format!("{path}LayerNorm.bias"),
        _ => stored.to_owned(),
    };
    if is_ignorable(&renamed) {
        return renamed;
    }
    format!("{prefix}{renamed}")
}

impl CheckpointWeights {
    /// Tensors of `sources` (the files of one checkpoint, called `what` in messages), converted to `dtype`, on
    /// `device`. A checkpoint of the bare decoder or encoder, without the `model.` or `bert.` of the
    /// names, is read as well.
    #[must_use]
    pub fn new(
        what: impl Into<String>,
        sources: Vec<Box<dyn TensorSource>>,
        device: &Device,
        dtype: DType,
    ) -> Self {
        let stored: Vec<_> = sources
            .iter()
            .enumerate()
            .flat_map(|(i, source)| source.tensors().into_iter().map(move |t| (i, t)))
            .collect();
        let has = |name: &str| stored.iter().any(|(_, t)| t.name == name);
        let prefix = if has("embed_tokens.weight") {
            "model."
        } else if has("embeddings.word_embeddings.weight") {
            "bert."
        } else {
            ""
        };
        let index = stored
            .iter()
            .map(|(i, t)| (asked_name(&t.name, prefix), (*i, t.name.clone(), t.shape.clone())))
            .collect();
        Self {
            sources,
            index,
            what: what.into(),
            device: device.clone(),
            dtype,
            missing: Vec::new(),
            misshapen: Vec::new(),
            failure: None,
            fingerprint: Sha256::new(),
        }
    }

    /// Whether every tensor asked for was there in the right shape and finite, and no other is left over.
    ///
    /// # Errors
    /// [`Error::Tensors`] with all of the problems; [`Error::Container`] or [`Error::NotFinite`] for the first tensor
    /// that could not be used.
    pub fn finish(self) -> Result<(), Error> {
        let unexpected: Vec<String> = self.index.into_keys().filter(|name| !is_ignorable(name)).collect();
        if !(self.missing.is_empty() && unexpected.is_empty() && self.misshapen.is_empty()) {
            return Err(Error::Tensors {
                what: self.what,
                missing: self.missing,
                unexpected,
                misshapen: self.misshapen,
            });
        }
        self.failure.map_or(Ok(()), Err)
    }

    /// Number of tensors in the files that have not been asked for yet.
    #[must_use]
    pub fn num_tensors(&self) -> usize {
        self.index.len()
    }

    /// A hash that tells decoders apart: names, shapes and the first values, rounded to bf16, of every tensor of the
    /// decoder read so far; so a bf16 copy of an f32 checkpoint has the same one, with or without a head.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.fingerprint.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn load(&mut self, name: &str, shape: &[usize]) -> Option<TensorData> {
        let Some((source, stored_name, found)) = self.index.remove(name) else {
            self.missing.push(name.to_owned());
            return None;
        };
        if found != shape {
            self.misshapen.push(Misshapen { name: name.to_owned(), expected: shape.to_vec(), found });
            return None;
        }
        match self.sources[source].read(&stored_name) {
            Ok((dtype, bytes)) => {
                let data = decode(dtype, bytes, shape, self.dtype);
                if data.is_none() && self.failure.is_none() {
                    self.failure = Some(Error::NotFinite { what: self.what.clone(), name: name.to_owned() });
                }
                data
            }
            Err(error) => {
                self.failure.get_or_insert(error);
                None
            }
        }
    }

    fn extend_fingerprint(&mut self, name: &str, shape: &[usize], data: &TensorData) {
        const VALUES: usize = 64;
        self.fingerprint.update(name.as_bytes());
        for size in shape {
            self.fingerprint.update((*size as u64).to_le_bytes());
        }
        let bytes = data.as_bytes();
        let bits: Vec<u16> = match data.dtype() {
            DType::BF16 => {
                bytes.chunks_exact(2).take(VALUES).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
            }
            DType::F16 => bytes
                .chunks_exact(2)
                .take(VALUES)
                .map(|b| bf16::from_f32(f16::from_le_bytes([b[0], b[1]]).to_f32()).to_bits())
                .collect(),
            _ => bytes
                .chunks_exact(4)
                .take(VALUES)
                .map(|b| bf16::from_f32(f32::from_le_bytes([b[0], b[1], b[2], b[3]])).to_bits())
                .collect(),
        };
        for value in bits {
            self.fingerprint.update(value.to_le_bytes());
        }
    }
}

impl Weights for CheckpointWeights {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D], _init: Init) -> Tensor<D> {
        match self.load(name, &shape) {
            Some(data) => {
                // A head is not the base: a language model and a classifier on one decoder have one fingerprint.
                if name.starts_with("model.") {
                    self.extend_fingerprint(name, &shape, &data);
                }
                Tensor::from_data(data, (&self.device, self.dtype))
            }
            // A placeholder without elements: the model is dropped once `finish` has told why.
            None => Tensor::empty([0; D], (&self.device, self.dtype)),
        }
    }
}

/// Values of `bytes` in `target`'s format, or `None` if one is not finite.
pub(crate) fn decode(
    stored: StoredDtype,
    bytes: Vec<u8>,
    shape: &[usize],
    target: DType,
) -> Option<TensorData> {
    let finite16 = |mask: u16| bytes.chunks_exact(2).all(|b| u16::from_le_bytes([b[0], b[1]]) & mask != mask);
    match (stored, target) {
        (StoredDtype::Bf16, DType::BF16) if finite16(0x7f80) => {
            return Some(TensorData::from_bytes_vec(bytes, shape.to_vec(), DType::BF16));
        }
        (StoredDtype::F16, DType::F16) if finite16(0x7c00) => {
            return Some(TensorData::from_bytes_vec(bytes, shape.to_vec(), DType::F16));
        }
        _ => {}
    }
    #[expect(clippy::cast_possible_truncation, reason = "f64 tensors are rounded on purpose")]
    let values: Vec<f32> = match stored {
        StoredDtype::F32 => {
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
        }
        StoredDtype::F16 => {
            bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        StoredDtype::Bf16 => {
            bytes.chunks_exact(2).map(|b| bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        StoredDtype::F64 => bytes
            .chunks_exact(8)
            .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
            .collect(),
    };
    if !values.iter().all(|v| v.is_finite()) {
        return None;
    }
    // Rounding to fewer bits may overflow: a value that f16 cannot hold must not become an infinity unnoticed.
    Some(match target {
        DType::BF16 => {
            let values: Vec<bf16> = values.into_iter().map(bf16::from_f32).collect();
            values.iter().all(|v| v.is_finite()).then(|| TensorData::new(values, shape.to_vec()))?
        }
        DType::F16 => {
            let values: Vec<f16> = values.into_iter().map(f16::from_f32).collect();
            values.iter().all(|v| v.is_finite()).then(|| TensorData::new(values, shape.to_vec()))?
        }
        _ => TensorData::new(values, shape.to_vec()),
    })
}
