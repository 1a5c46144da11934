//! Memory and operations of a step, from the shapes.
//!
//! # Activations of a LLaMA
//!
//! What a backward pass keeps, in values per token, follows from which gradients there are. A frozen product keeps only its
//! weight; the kernels of `clinlora_core::kernels` keep their inputs. With `D` the model's width, `F` the feed-forward's, `Q
//! = H·E` that of the queries and `K = K·E` that of the keys, a layer keeps
//!
//! | tensor | values | why |
//! |---|---|---|
//! | input of each of the two norms | `2·D` | the norm's gradient; not the first in the first layer, if nothing before it is trained |
//! | queries and keys after rotation, values | `Q + 2·K` | attention's gradient |
//! | gate and up | `2·F` | the gated unit's gradient |
//! | the input of a layer with a delta | its `d_in`, once for q, k and v together and once for gate and up | the gradient of `A` |
//! | a mask, and a masked copy of that input, per delta with dropout | `2·d_in` | dropout |
//! | `x·Aᵀ` | `r` per delta, those of frozen deltas beside a trained one included | the gradient of `B` |
//! | a frozen delta among none that is trained | nothing more | only its factors |
//!
//! and the whole keeps `D` for the last norm, and the gradient of the hidden states that the loss makes in its forward
//! pass: `D`. A base that is itself trained keeps the input of every product (`2·D + Q + F` a layer) and the logits.
//!
//! With `training.recompute` a layer keeps its input alone, `D`, and all of the above is kept of one layer at a time.
//!
//! To this comes what lives for a moment only, the larger of two. At the end of the forward pass it is the loss: a block of
//! logits, `min(512, rows)·V` in f32, the table as the product packs it, `V·D`, and the last hidden states with the rows
//! that are picked of them, `2·D` a token. At the start of the backward pass it is the feed-forward of the last layer: the
//! gradients of gate, up and their product, `3·F` a token, or `2·F` where a trained delta on `down_proj` has just let go of
//! its input, while those of the layer's output and input take the place of the `2·D` that the last norm and the loss no
//! longer need.
//!
//! A process holds more than that: what the allocator cannot hand out again, a fourteenth of what is in use, and the
//! program's pages, tokenizer and buffers of products, 8 MiB. Both are fitted, to shapes from 8 x 300 to 32 x 128 tokens.

use burn::tensor::DType;
use clinlora_core::config::{LlamaConfig, ModelConfig};
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::lora::LoraConfig;
use serde::Serialize;

use crate::error::{Error, Result};

/// Rows of logits the loss forms at a time on a processor.
const LOGIT_ROWS: usize = 512;

const F32_BYTES: usize = 4;

/// One part in so many of what is in use is held beside it,
const OVERHEAD: u64 = 14;

/// and this by the program itself.
const PROGRAM_BYTES: u64 = 8 << 20;

/// An adapter of the stack, as far as memory goes.
#[derive(Debug, Clone)]
pub(crate) struct Planned {
    pub(crate) config: AdapterConfig,
    pub(crate) trainable: bool,
}

/// Sizes of a model with its adapters.
#[derive(Debug, Clone)]
pub(crate) struct Arithmetic {
    model: ModelConfig,
    adapters: Vec<Planned>,
    full: bool,
    /// Whether what is within a layer is computed twice.
    recompute: bool,
    value_bytes: usize,
    /// Classes of a head on the last token; a language model if there are none.
    labels: usize,
    /// Values of the model that every token is multiplied with.
    pub(crate) multiplied: usize,
    /// Values of all adapters.
    pub(crate) adapter_values: usize,
    /// Values that a step changes.
    pub(crate) trained_values: usize,
}

/// Bytes of a step, by what they are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct Memory {
    /// Base and head.
    pub(crate) weights: u64,
    /// Adapters, f32.
    pub(crate) adapters: u64,
    /// One gradient of everything trained, f32.
    pub(crate) gradients: u64,
    /// Two moments of everything trained, f32.
    pub(crate) optimiser: u64,
    /// What the backward pass keeps, where there is a formula.
    pub(crate) activations: Option<u64>,
    /// The largest that lives for a moment.
    pub(crate) transient: Option<u64>,
    /// What a process holds beyond what it has in use, where there is a formula.
    pub(crate) overhead: Option<u64>,
    /// All together, where there is a formula.
    pub(crate) total: Option<u64>,
}

impl Arithmetic {
    /// Sizes of `model` with `adapters`; `full` trains the base itself; `labels` is 0 for a language model.
    ///
    /// # Errors
    /// [`Error::Input`] if an adapter does not fit the model.
    pub(crate) fn new(
        model: &ModelConfig,
        adapters: Vec<Planned>,
        full: bool,
        dtype: DType,
        labels: usize,
    ) -> Result<Self> {
        let (sites, decoder) = (model.sites(), model.decoder_shape());
        let mut adapter_values = 0;
        let mut trained_values = 0;
        for adapter in &adapters {
            let values = adapter.config.num_params("adapter", &sites, decoder.as_ref());
            let values = values.map_err(|e| Error::Input(e.to_string()))?;
            adapter_values += values;
            trained_values += if adapter.trainable { values } else { 0 };
        }
        let head = match (model, labels) {
            (ModelConfig::Llama(config), 0) => config.vocab_size * config.hidden_size,
            _ => 0, // a class head multiplies one token of a note
        };
        let multiplied = head + sites.iter().map(|(_, [d_out, d_in])| d_out * d_in).sum::<usize>();
        let mut arithmetic = Self {
            model: model.clone(),
            adapters,
            full,
            recompute: false,
            value_bytes: dtype.size(),
            labels,
            multiplied,
            adapter_values,
            trained_values,
        };
        arithmetic.trained_values +=
            if full { arithmetic.base_values() } else { 0 } + arithmetic.head_values();
        Ok(arithmetic)
    }

    /// These sizes with what is within a layer computed twice, or not.
    pub(crate) fn recomputing(self, recompute: bool) -> Self {
        Self { recompute, ..self }
    }

    /// Values of the base; that of a classifier has no language-modelling head.
    pub(crate) fn base_values(&self) -> usize {
        match &self.model {
            ModelConfig::Llama(config) if self.labels > 0 && !config.tie_word_embeddings => {
                config.num_params() - config.vocab_size * config.hidden_size
            }
            model => model.num_params(),
        }
    }

    fn head_values(&self) -> usize {
        let (width, bias) = match &self.model {
            ModelConfig::Llama(config) => (config.hidden_size, 0),
            ModelConfig::Bert(config) => (config.hidden_size, 1),
        };
        self.labels * (width + bias)
    }

    /// Positions before a note: virtual tokens, which run through the layers.
    fn virtual_tokens(&self) -> usize {
        let of = |adapter: &Planned| match &adapter.config {
            AdapterConfig::Prompt(config) => config.num_virtual_tokens,
            AdapterConfig::PTuning(config) => config.num_virtual_tokens,
            _ => 0,
        };
        self.adapters.iter().map(of).sum()
    }

    /// Slots of keys and values before a note.
    fn slots(&self) -> usize {
        let of = |adapter: &Planned| match &adapter.config {
            AdapterConfig::Prefix(config) => config.num_virtual_tokens,
            _ => 0,
        };
        self.adapters.iter().map(of).sum()
    }

    fn loras(&self) -> impl Iterator<Item = (&LoraConfig, bool)> {
        self.adapters.iter().filter_map(|adapter| match &adapter.config {
            AdapterConfig::Lora(config) => Some((config, adapter.trainable)),
            _ => None,
        })
    }

    /// Whether something in front of the first layer is trained.
    fn trains_the_embedding(&self) -> bool {
        let is_virtual = |adapter: &Planned| {
            adapter.trainable
                && matches!(adapter.config, AdapterConfig::Prompt(_) | AdapterConfig::PTuning(_))
        };
        self.full || self.adapters.iter().any(is_virtual)
    }

    /// Operations of all products of a step over `batch` notes of `tokens` each.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^52 on any machine")]
    pub(crate) fn operations(&self, batch: usize, tokens: usize, trains: bool) -> f64 {
        let length = tokens + self.virtual_tokens();
        let rows = (batch * length) as f64;
        let weights = if self.full { 6.0 } else { 4.0 };
        let (passes, deltas) = if trains { (weights, 6.0) } else { (2.0, 2.0) };
        let (layers, width) = match &self.model {
            ModelConfig::Llama(config) => {
                (config.num_hidden_layers, config.num_attention_heads * config.head_dim)
            }
            ModelConfig::Bert(config) => (config.num_hidden_layers, config.hidden_size),
        };
        let scores = (batch * length * (length + self.slots()) * layers * width) as f64;
        // Two products forward; backward the scores again and four for the gradients.
        let attention = if trains { 2.0 * 2.0 + 2.0 * 5.0 } else { 2.0 * 2.0 };
        // A second forward pass through the layers, the head's product not among them.
        let again = if trains && self.recompute { 2.0 } else { 0.0 };
        let in_layers = self.model.sites().iter().map(|(_, [d_out, d_in])| d_out * d_in).sum::<usize>();
        let low_rank: usize = self
            .loras()
            .flat_map(|(lora, _)| {
                let sites = self.model.sites();
                sites
                    .into_iter()
                    .filter(|(path, _)| lora.targets(path))
                    .map(|(_, shape)| lora.num_params(shape))
            })
            .sum();
        passes * self.multiplied as f64 * rows
            + again * in_layers as f64 * rows
            + (deltas + again) * low_rank as f64 * rows
            + (attention + 2.0 * again) * scores
    }

    /// The least time of a step at `tflops`: 4 operations per multiplied value and token, 6 where the base is trained.
    #[expect(clippy::cast_precision_loss, reason = "counts below 2^52 on any machine")]
    pub(crate) fn floor_seconds(&self, batch: usize, tokens: usize, tflops: f64) -> f64 {
        let passes = if self.full { 6.0 } else { 4.0 };
        passes * self.multiplied as f64 * (batch * tokens) as f64 / (tflops * 1e12)
    }

    /// Bytes of a step over `batch` notes of `tokens` each.
    pub(crate) fn memory(&self, batch: usize, tokens: usize) -> Memory {
        let bytes = |values: usize, each: usize| values as u64 * each as u64;
        let weights = bytes(self.base_values(), self.value_bytes) + bytes(self.head_values(), F32_BYTES);
        let adapters = bytes(self.adapter_values, F32_BYTES);
        let gradients = bytes(self.trained_values, F32_BYTES);
        let optimiser = 2 * gradients;
        let (activations, transient) = match &self.model {
            ModelConfig::Llama(config) => {
                let (kept, moment) = self.llama_activations(config, batch, tokens);
                (Some(kept), Some(moment))
            }
            ModelConfig::Bert(_) => (None, None),
        };
        let fixed = weights + adapters + gradients + optimiser;
        let used = activations.zip(transient).map(|(kept, moment)| fixed + kept + moment);
        let overhead = used.map(|used| used / OVERHEAD + PROGRAM_BYTES);
        let total = used.zip(overhead).map(|(used, overhead)| used + overhead);
        Memory { weights, adapters, gradients, optimiser, activations, transient, overhead, total }
    }

    /// What is kept, and the largest that lives for a moment; see the head of this file.
    fn llama_activations(&self, config: &LlamaConfig, batch: usize, tokens: usize) -> (u64, u64) {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim;
        let keys = config.num_key_value_heads * config.head_dim;
        let rows = batch * (tokens + self.virtual_tokens());
        let layers = config.num_hidden_layers;

        let of_deltas = self.kept_of_deltas(config);
        let of_base = if self.full { 2 * d + queries + f } else { of_deltas.inputs };
        let a_layer = 2 * d + queries + 2 * keys + 2 * f + of_base + of_deltas.inner;
        let first = if self.trains_the_embedding() { 0 } else { d };
        let slots = batch * self.slots() * 2 * keys * layers;
        let logits = if self.labels > 0 { 0 } else { config.vocab_size * rows };
        let whole_logits = if self.full { 2 * logits } else { 0 };
        let at_once = if self.recompute { d * layers } else { layers * a_layer - first };
        let kept = rows * (at_once + 2 * d) + slots + whole_logits;

        let block = if self.labels > 0 { 0 } else { (LOGIT_ROWS.min(rows) + d) * config.vocab_size };
        let of_loss = block * F32_BYTES + 2 * d * rows * self.value_bytes;
        let again = if self.recompute { a_layer } else { 0 };
        let gated = if of_deltas.on_down { 2 * f } else { 3 * f };
        let of_backward = (gated + again) * rows * self.value_bytes;
        ((kept * self.value_bytes) as u64, of_loss.max(of_backward) as u64)
    }

    /// Values a token keeps in a layer for the deltas on it.
    fn kept_of_deltas(&self, config: &LlamaConfig) -> KeptOfDeltas {
        let (d, f) = (config.hidden_size, config.intermediate_size);
        let queries = config.num_attention_heads * config.head_dim;
        // Sites that read the same tensor.
        let groups: [(&[&str], usize); 4] = [
            (&["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], d),
            (&["self_attn.o_proj"], queries),
            (&["mlp.gate_proj", "mlp.up_proj"], d),
            (&["mlp.down_proj"], f),
        ];
        let mut kept = KeptOfDeltas { inputs: 0, inner: 0, on_down: false };
        for (sites, width) in groups {
            let mut reads = false;
            for site in sites {
                let at = format!("model.layers.0.{site}");
                let there = self.loras().filter(|(lora, _)| lora.targets(&at));
                let (dropping, whole): (Vec<_>, Vec<_>) =
                    there.partition(|(lora, _)| lora.dropout_prob > 0.0);
                for (lora, trainable) in dropping {
                    kept.inner += 2 * width + if trainable { lora.r } else { 0 };
                }
                // Those without dropout are one pair of products.
                if whole.iter().any(|(_, trainable)| *trainable) {
                    reads = true;
                    kept.inner += whole.iter().map(|(lora, _)| lora.r).sum::<usize>();
                    kept.on_down = *site == "mlp.down_proj";
                }
            }
            kept.inputs += if reads { width } else { 0 };
        }
        kept
    }
}

/// Values per token and layer.
struct KeptOfDeltas {
    /// Inputs of trained deltas, each once.
    inputs: usize,
    /// What each delta keeps of its own.
    inner: usize,
    /// Whether the last product of a layer keeps its input.
    on_down: bool,
}

#[cfg(test)]
mod tests {
    use clinlora_core::peft::prompt::PromptConfig;

    use super::*;

    fn lora(r: usize, targets: &[&str], trainable: bool) -> Planned {
        let target_modules = targets.iter().map(|target| (*target).to_owned()).collect();
        Planned {
            config: AdapterConfig::Lora(LoraConfig { r, target_modules, ..LoraConfig::default() }),
            trainable,
        }
    }

    fn of(adapters: Vec<Planned>, full: bool) -> Arithmetic {
        let model = ModelConfig::Llama(LlamaConfig::llama_7b());
        Arithmetic::new(&model, adapters, full, DType::BF16, 0).expect("adapters that fit")
    }

    #[test]
    fn the_paper_s_model_has_the_sizes_it_is_known_by() {
        let plan = of(vec![lora(16, &["q_proj", "v_proj"], true)], false);
        assert_eq!(plan.multiplied, 6_607_077_376);
        assert_eq!(plan.trained_values, 8_388_608);
        let memory = plan.memory(10, 128);
        assert_eq!(memory.weights, 2 * 6_738_415_616);
        assert_eq!(memory.optimiser, 2 * 4 * 8_388_608);
        // 4 operations a value, 26.4e9 a token, and less than 3 % for attention and the adapter.
        let operations = plan.operations(10, 128, true) / 1280.0;
        assert!((26.4e9..27.2e9).contains(&operations), "{operations}");
        assert!((plan.floor_seconds(10, 128, 790.0) / 1280.0 - 1.0 / 29_900.0).abs() < 1e-7);
    }

    #[test]
    fn activations_grow_by_what_is_kept_of_a_token() {
        let kept = |adapters: Vec<Planned>| {
            let plan = of(adapters, false);
            let at = |batch| plan.memory(batch, 128).activations.expect("a LLaMA");
            (at(20) - at(10)) / 1280
        };
        // 46,624 values of two bytes in each of 32 layers; 4096 less in the first, twice 4096 at the end.
        assert_eq!(kept(vec![lora(16, &["q_proj", "v_proj"], true)]), 2 * (32 * 46_624 + 4096));
        // A frozen adapter beside it is part of the same pair of products; on other layers it keeps nothing.
        let stacked = vec![lora(8, &["q_proj", "o_proj"], false), lora(16, &["q_proj", "v_proj"], true)];
        assert_eq!(kept(stacked), kept(vec![lora(16, &["q_proj", "v_proj"], true)]) + 2 * 32 * 8);
        // On the last product of the feed-forward its input is kept too.
        let down = kept(vec![lora(16, &["q_proj", "v_proj", "down_proj"], true)]);
        assert_eq!(down - kept(vec![lora(16, &["q_proj", "v_proj"], true)]), 2 * 32 * (11_008 + 16));
    }

    #[test]
    fn recomputing_keeps_inputs_of_layers_and_costs_a_forward_pass() {
        let plan =
            |recompute: bool| of(vec![lora(16, &["q_proj", "v_proj"], true)], false).recomputing(recompute);
        let kept = |recompute: bool| plan(recompute).memory(10, 128).activations.expect("a LLaMA");
        assert_eq!(kept(true), 1280 * 2 * (32 + 2) * 4096);
        assert!(kept(false) > 10 * kept(true));
        let total = |recompute: bool| plan(recompute).memory(128, 128).total.expect("a LLaMA");
        assert!(total(false) > 3 * total(true) / 2, "{} and {}", total(false), total(true));
        let work = plan(true).operations(10, 128, true) / plan(false).operations(10, 128, true);
        assert!((1.45..1.5).contains(&work), "{work}");
    }

    #[test]
    fn virtual_tokens_are_tokens() {
        let config = PromptConfig { num_virtual_tokens: 12, ..PromptConfig::default() };
        let prompt = of(vec![Planned { config: AdapterConfig::Prompt(config), trainable: true }], false);
        let (with, without) = (prompt.operations(1, 116, true), of(vec![], false).operations(1, 128, true));
        assert!((with / without - 1.0).abs() < 1e-9, "{with} against {without}");
        assert_eq!(prompt.trained_values, 12 * 4096);
    }

    #[test]
    fn a_trained_base_counts_whole() {
        let full = of(vec![], true);
        assert_eq!(full.trained_values, 6_738_415_616);
        assert!(full.operations(1, 128, true) > 1.49 * of(vec![], false).operations(1, 128, true));
        let kept = |plan: &Arithmetic| plan.memory(10, 128).activations.expect("a LLaMA");
        assert!(kept(&full) > kept(&of(vec![], false)));
    }
}
