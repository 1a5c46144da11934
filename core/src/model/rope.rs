//! Rotary positions. Su et al. 2021, arXiv 2104.09864, in the rotate-half layout of Hugging Face checkpoints.

use std::ops::Range;

use burn::tensor::{DType, Device, Int, Tensor, TensorData};

use crate::config::{LlamaConfig, RopeConfig, RopeScaling};
use crate::kernels::rotary::{rotary, rotary_both};

/// The frequencies of one model.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    inv_freq: Vec<f64>,
}

/// Cosine and sine of every position and frequency, each `[T, E]`, or of one position for each row of a batch, `[B, E]`.
#[derive(Debug, Clone)]
pub struct RopeTables {
    cos: Tensor<2>,
    sin: Tensor<2>,
    a_row_each: bool,
}

impl Rope {
    /// Frequencies of `config`: `theta^(-2i / E)`, stretched as it says.
    #[must_use]
    pub fn new(config: &LlamaConfig) -> Self {
        let RopeConfig { theta, scaling } = config.rope;
        let inv_freq = (0..config.head_dim / 2)
            .map(|i| {
                #[expect(clippy::cast_precision_loss, reason = "a head's width is far below 2^52")]
                let exponent = (2 * i) as f64 / config.head_dim as f64;
                stretch(theta.powf(-exponent), scaling)
            })
            .collect();
        Self { inv_freq }
    }

    /// Tables for `positions`. Angles are formed in f64 and rounded once.
    #[must_use]
    pub fn tables(&self, positions: Range<usize>, dtype: DType, device: &Device) -> RopeTables {
        let tokens = positions.len();
        let table = |f: fn(f64) -> f64| {
            let mut values = Vec::with_capacity(tokens * self.inv_freq.len() * 2);
            for position in positions.clone() {
                // Rotate-half: the second half of a head turns with the same angles as the first.
                for frequency in self.inv_freq.iter().chain(&self.inv_freq) {
                    #[expect(
                        clippy::cast_precision_loss,
                        clippy::cast_possible_truncation,
                        reason = "positions are small, and a table entry is meant to be f32"
                    )]
                    values.push(f(position as f64 * frequency) as f32);
                }
            }
            let data = TensorData::new(values, [tokens, self.inv_freq.len() * 2]);
            Tensor::<2>::from_data(data, (device, dtype))
        };
        RopeTables { cos: table(f64::cos), sin: table(f64::sin), a_row_each: false }
    }
}

impl RopeTables {
    /// The tables of one position for each row, given by their place among these.
    #[must_use]
    pub(crate) fn at(&self, places: Tensor<1, Int>) -> Self {
        let of = |table: &Tensor<2>| table.clone().select(0, places.clone());
        Self { cos: of(&self.cos), sin: of(&self.sin), a_row_each: true }
    }

    /// As [`rotate`](Self::rotate), of queries and keys at the same positions.
    ///
    /// # Shapes
    /// - `q`: `[B, H, T, E]`
    /// - `k`: `[B, K, T, E]`
    ///
    /// # Panics
    /// If these are the tables of one position for each row.
    #[must_use]
    pub fn rotate_both(&self, q: Tensor<4>, k: Tensor<4>) -> [Tensor<4>; 2] {
        assert!(!self.a_row_each, "queries and keys of the same tokens");
        rotary_both(q, k, self.cos.clone(), self.sin.clone())
    }

    /// `x·cos + rotate_half(x)·sin`.
    ///
    /// # Shapes
    /// - `x` and result: `[B, heads, T, E]`, `T` one where each row has its position
    #[must_use]
    pub fn rotate(&self, x: Tensor<4>) -> Tensor<4> {
        if !self.a_row_each {
            return rotary(x, self.cos.clone(), self.sin.clone());
        }
        // The rows' one token each stand as the tokens of a single row.
        rotary(x.swap_dims(0, 2), self.cos.clone(), self.sin.clone()).swap_dims(0, 2)
    }
}

/// One frequency after scaling. The ramp of LLaMA 3.1 runs over wavelengths measured in the original context.
fn stretch(frequency: f64, scaling: RopeScaling) -> f64 {
    match scaling {
        RopeScaling::None => frequency,
        RopeScaling::Linear { factor } => frequency / factor,
        RopeScaling::Llama3 {
            factor,
            low_freq_factor,
            high_freq_factor,
            original_max_position_embeddings,
        } => {
            #[expect(clippy::cast_precision_loss, reason = "a context length is far below 2^52")]
            let turns = original_max_position_embeddings as f64 * frequency / std::f64::consts::TAU;
            let kept = ((turns - low_freq_factor) / (high_freq_factor - low_freq_factor)).clamp(0.0, 1.0);
            kept * frequency + (1.0 - kept) * frequency / factor
        }
    }
}
