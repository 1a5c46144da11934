//! Architecture of a LLaMA, as `config.json` of a Hugging Face folder states it.
//!
//! Both dialects are read: transformers 4 (`rope_theta`, `rope_scaling`) and 5 (`rope_parameters`). A key that
//! would change the numbers and that this crate does not implement is refused by name.

mod bert;

pub use self::bert::{BERT_TARGETS, BertConfig, LLAMA_TARGETS, ModelConfig};
use serde::{Deserialize, Serialize};

use crate::error::Error;

/// Shape and constants of a LLaMA-family decoder.
#[derive(Debug, Clone, PartialEq)]
pub struct LlamaConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream, `D`.
    pub hidden_size: usize,
    /// Width of the feed-forward layer, `F`.
    pub intermediate_size: usize,
    /// Number of blocks.
    pub num_hidden_layers: usize,
    /// Query heads, `H`.
    pub num_attention_heads: usize,
    /// Key and value heads, `K`; divides `num_attention_heads`.
    pub num_key_value_heads: usize,
    /// Width of one head, `E`; even.
    pub head_dim: usize,
    /// Longest sequence the model was trained on, tokens.
    pub max_position_embeddings: usize,
    /// Added to the mean square in every RMSNorm.
    pub rms_norm_eps: f64,
    /// Rotary frequencies.
    pub rope: RopeConfig,
    /// Whether the language-model head is the embedding table itself.
    pub tie_word_embeddings: bool,
    /// Whether q, k, v and o carry a bias.
    pub attention_bias: bool,
    /// Whether gate, up and down carry a bias.
    pub mlp_bias: bool,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
}

/// Base and scaling of the rotary frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RopeConfig {
    /// The base of the geometric frequency series.
    pub theta: f64,
    /// How the frequencies are stretched for longer contexts.
    pub scaling: RopeScaling,
}

/// Stretching of the rotary frequencies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum RopeScaling {
    /// Frequencies as they are.
    None,
    /// Every frequency divided by `factor`.
    Linear {
        /// The divisor.
        factor: f64,
    },
    /// LLaMA 3.1: low frequencies divided by `factor`, high ones kept, a ramp between.
    Llama3 {
        /// The divisor of low frequencies.
        factor: f64,
        /// Wavelengths above `original / low_freq_factor` are divided.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are kept.
        high_freq_factor: f64,
        /// Context length before stretching, tokens.
        original_max_position_embeddings: usize,
    },
}

impl LlamaConfig {
    /// LLaMA-7B, the base of the paper: 6,738,415,616 parameters.
    #[must_use]
    pub fn llama_7b() -> Self {
        Self::preset(32000, 4096, 11008, 32, 32, 32)
    }

    /// A plain LLaMA of the given shape, with LLaMA-1's constants.
    #[must_use]
    pub fn preset(
        vocab_size: usize,
        hidden_size: usize,
        intermediate_size: usize,
        num_hidden_layers: usize,
        num_attention_heads: usize,
        num_key_value_heads: usize,
    ) -> Self {
        Self {
            vocab_size,
            hidden_size,
            intermediate_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads,
            head_dim: hidden_size / num_attention_heads,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope: RopeConfig { theta: 10000.0, scaling: RopeScaling::None },
            tie_word_embeddings: false,
            attention_bias: false,
            mlp_bias: false,
            initializer_range: 0.02,
        }
    }

    /// Path and `[d_out, d_in]` of every linear layer of the decoder, in forward order.
    #[must_use]
    pub fn sites(&self) -> Vec<(String, [usize; 2])> {
        let (d, f) = (self.hidden_size, self.intermediate_size);
        let queries = self.num_attention_heads * self.head_dim;
        let keys = self.num_key_value_heads * self.head_dim;
        let block = [
            ("self_attn.q_proj", [queries, d]),
            ("self_attn.k_proj", [keys, d]),
            ("self_attn.v_proj", [keys, d]),
            ("self_attn.o_proj", [d, queries]),
            ("mlp.gate_proj", [f, d]),
            ("mlp.up_proj", [f, d]),
            ("mlp.down_proj", [d, f]),
        ];
        (0..self.num_hidden_layers)
            .flat_map(|i| block.iter().map(move |(name, shape)| (format!("model.layers.{i}.{name}"), *shape)))
            .collect()
    }

    /// Number of values in the language model, head included.
    #[must_use]
    pub fn num_params(&self) -> usize {
        let has_bias = |path: &str| {
            if path.contains(".mlp.") { self.mlp_bias } else { self.attention_bias }
        };
        let linear: usize = self
            .sites()
            .iter()
            .map(|(path, [d_out, d_in])| d_out * d_in + if has_bias(path) { *d_out } else { 0 })
            .sum();
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let norms = 2 * self.num_hidden_layers + 1;
        linear + (tables * self.vocab_size + norms) * self.hidden_size
    }

    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not JSON, lacks a key, contradicts itself, or asks for another architecture.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let raw: RawConfig =
            serde_json::from_slice(bytes).map_err(|e| refuse(format!("config.json: {e}")))?;
        raw.validate()
    }

    /// Writes `config.json` in the form transformers 4 and 5 both read.
    #[must_use]
    pub fn to_json(&self) -> String {
        let rope_scaling = match self.rope.scaling {
            RopeScaling::None => serde_json::Value::Null,
            RopeScaling::Linear { factor } => serde_json::json!({"rope_type": "linear", "factor": factor}),
            RopeScaling::Llama3 {
                factor,
                low_freq_factor,
                high_freq_factor,
                original_max_position_embeddings,
            } => serde_json::json!({
                "rope_type": "llama3",
                "factor": factor,
                "low_freq_factor": low_freq_factor,
                "high_freq_factor": high_freq_factor,
                "original_max_position_embeddings": original_max_position_embeddings,
            }),
        };
        let value = serde_json::json!({
            "architectures": ["LlamaForCausalLM"],
            "attention_bias": self.attention_bias,
            "attention_dropout": 0.0,
            "bos_token_id": 1,
            "eos_token_id": 2,
            "head_dim": self.head_dim,
            "hidden_act": "silu",
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "mlp_bias": self.mlp_bias,
            "model_type": "llama",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "num_key_value_heads": self.num_key_value_heads,
            "rms_norm_eps": self.rms_norm_eps,
            "rope_scaling": rope_scaling,
            "rope_theta": self.rope.theta,
            "tie_word_embeddings": self.tie_word_embeddings,
            "torch_dtype": "float32",
            "vocab_size": self.vocab_size,
        });
        format!("{value:#}\n")
    }
}

/// `config.json` as written, before its contradictions are looked for.
#[derive(Deserialize)]
struct RawConfig {
    model_type: Option<String>,
    hidden_act: Option<String>,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    // PMC-LLaMA and LLaMA-1 conversions call it max_sequence_length, or leave it out.
    #[serde(alias = "max_sequence_length")]
    max_position_embeddings: Option<usize>,
    rms_norm_eps: Option<f64>,
    rope_theta: Option<f64>,
    rope_scaling: Option<RawRope>,
    rope_parameters: Option<RawRope>,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    initializer_range: Option<f64>,
    pretraining_tp: Option<usize>,
    quantization_config: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct RawRope {
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    factor: Option<f64>,
    low_freq_factor: Option<f64>,
    high_freq_factor: Option<f64>,
    original_max_position_embeddings: Option<usize>,
}

impl RawConfig {
    fn validate(self) -> Result<LlamaConfig, Error> {
        if let Some(kind) = self.model_type.as_deref().filter(|kind| *kind != "llama") {
            return Err(refuse(format!("model_type = \"{kind}\"; this program reads the \"llama\" family")));
        }
        if let Some(act) = self.hidden_act.as_deref().filter(|act| *act != "silu") {
            return Err(refuse(format!("hidden_act = \"{act}\"; only \"silu\" is implemented")));
        }
        if self.pretraining_tp.is_some_and(|tp| tp != 1) {
            return Err(refuse("pretraining_tp other than 1 changes the rounding and is not implemented"));
        }
        if self.quantization_config.is_some() {
            return Err(refuse("quantization_config is set; give the unquantised checkpoint"));
        }
        let sizes = [
            ("vocab_size", self.vocab_size),
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_hidden_layers", self.num_hidden_layers),
            ("num_attention_heads", self.num_attention_heads),
        ];
        // Far above any model there is: a damaged file must not ask for all memory, or for more layers than can be named.
        let largest = |key: &str| {
            if key == "num_hidden_layers" { 1 << 12 } else { 1 << 24 }
        };
        if let Some((key, size)) = sizes.iter().find(|(key, size)| !(1..=largest(key)).contains(size)) {
            return Err(refuse(format!("{key} = {size}; must be from 1 to {}", largest(key))));
        }
        let num_key_value_heads = self.num_key_value_heads.unwrap_or(self.num_attention_heads);
        if num_key_value_heads == 0 || !self.num_attention_heads.is_multiple_of(num_key_value_heads) {
            return Err(refuse(format!(
                "num_key_value_heads = {num_key_value_heads} does not divide num_attention_heads = {}",
                self.num_attention_heads
            )));
        }
        let head_dim = match self.head_dim {
            Some(dim) => dim,
            None if self.hidden_size.is_multiple_of(self.num_attention_heads) => {
                self.hidden_size / self.num_attention_heads
            }
            None => return Err(refuse("hidden_size is not a multiple of num_attention_heads")),
        };
        if head_dim == 0 || !head_dim.is_multiple_of(2) || head_dim > largest("head_dim") {
            return Err(refuse(format!("head_dim = {head_dim}; rotary positions need an even one")));
        }
        let rms_norm_eps = self.rms_norm_eps.unwrap_or(1e-6);
        if !(rms_norm_eps.is_finite() && rms_norm_eps > 0.0) {
            return Err(refuse(format!("rms_norm_eps = {rms_norm_eps}; must be above 0")));
        }
        Ok(LlamaConfig {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            intermediate_size: self.intermediate_size,
            num_hidden_layers: self.num_hidden_layers,
            num_attention_heads: self.num_attention_heads,
            num_key_value_heads,
            head_dim,
            max_position_embeddings: self.max_position_embeddings.unwrap_or(2048),
            rms_norm_eps,
            rope: rope(self.rope_theta, self.rope_parameters.or(self.rope_scaling))?,
            tie_word_embeddings: self.tie_word_embeddings,
            attention_bias: self.attention_bias,
            mlp_bias: self.mlp_bias,
            initializer_range: self.initializer_range.unwrap_or(0.02),
        })
    }
}

/// `theta` stands beside the scaling in transformers 4 and inside it in 5.
fn rope(theta: Option<f64>, scaling: Option<RawRope>) -> Result<RopeConfig, Error> {
    let inner_theta = scaling.as_ref().and_then(|s| s.rope_theta);
    let theta = inner_theta.or(theta).unwrap_or(10000.0);
    if !(theta.is_finite() && theta > 0.0) {
        return Err(refuse(format!("rope_theta = {theta}; must be above 0")));
    }
    let Some(raw) = scaling else {
        return Ok(RopeConfig { theta, scaling: RopeScaling::None });
    };
    let need = |value: Option<f64>, key: &str| {
        value
            .filter(|v| v.is_finite() && *v > 0.0)
            .ok_or_else(|| refuse(format!("rope scaling needs a {key} above 0")))
    };
    let scaling = match raw.rope_type.as_deref().unwrap_or("default") {
        "default" => RopeScaling::None,
        "linear" => RopeScaling::Linear { factor: need(raw.factor, "factor")? },
        "llama3" => RopeScaling::Llama3 {
            factor: need(raw.factor, "factor")?,
            low_freq_factor: need(raw.low_freq_factor, "low_freq_factor")?,
            high_freq_factor: need(raw.high_freq_factor, "high_freq_factor")?,
            original_max_position_embeddings: raw
                .original_max_position_embeddings
                .filter(|n| *n > 0)
                .ok_or_else(|| refuse("rope scaling llama3 needs original_max_position_embeddings"))?,
        },
        other => {
            return Err(refuse(format!(
                "rope scaling \"{other}\"; \"default\", \"linear\" and \"llama3\" are implemented"
            )));
        }
    };
    Ok(RopeConfig { theta, scaling })
}

fn refuse(reason: impl Into<String>) -> Error {
    Error::Config { reason: reason.into() }
}

/// Number format of weights in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WeightDtype {
    /// 32-bit floats.
    F32,
    /// Brain floats, for CUDA.
    Bf16,
    /// Half floats.
    F16,
}

impl WeightDtype {
    /// Burn's name for it.
    #[must_use]
    pub fn burn(self) -> burn::tensor::DType {
        match self {
            Self::F32 => burn::tensor::DType::F32,
            Self::Bf16 => burn::tensor::DType::BF16,
            Self::F16 => burn::tensor::DType::F16,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: &str = r#"{"model_type":"llama","vocab_size":9,"hidden_size":12,"intermediate_size":7,
        "num_hidden_layers":1,"num_attention_heads":2,"rope_theta":5000.0,
        "rope_scaling":{"type":"linear","factor":2.0}}"#;

    #[test]
    fn both_dialects_of_transformers_give_one_config() {
        let v5 = V4.replace("\"rope_theta\":5000.0,", "").replace(
            "\"rope_scaling\":{\"type\":\"linear\",",
            "\"rope_parameters\":{\"rope_type\":\"linear\",\"rope_theta\":5000.0,",
        );
        let read = LlamaConfig::from_json(V4.as_bytes()).expect("transformers 4");
        assert_eq!(read, LlamaConfig::from_json(v5.as_bytes()).expect("transformers 5"));
        assert_eq!(read.rope.theta, 5000.0);
        assert_eq!(read.rope.scaling, RopeScaling::Linear { factor: 2.0 });
        assert_eq!(LlamaConfig::from_json(read.to_json().as_bytes()).expect("our own"), read);
    }

    #[test]
    fn llama_7b_has_its_published_number_of_parameters() {
        assert_eq!(LlamaConfig::llama_7b().num_params(), 6_738_415_616);
    }

    #[test]
    fn what_would_change_the_numbers_is_refused_by_name() {
        for (from, to, named) in [
            ("\"llama\"", "\"mistral\"", "mistral"),
            ("\"linear\"", "\"yarn\"", "yarn"),
            ("\"num_attention_heads\":2", "\"num_attention_heads\":5", "multiple"),
            ("\"num_attention_heads\":2", "\"num_attention_heads\":4", "even"),
            ("\"vocab_size\":9", "\"vocab_size\":0", "vocab_size"),
            ("\"vocab_size\":9", "\"hidden_act\":\"gelu\",\"vocab_size\":9", "gelu"),
        ] {
            let error = LlamaConfig::from_json(V4.replace(from, to).as_bytes()).expect_err(named);
            assert!(error.to_string().contains(named), "{named}: {error}");
        }
    }
}
