//! P-tuning: virtual tokens before the note that come out of a small encoder, which is trained with them.
//!
//! Liu et al. 2021, "GPT understands, too", arXiv 2103.10385: input = `[f(P); E(x)]`, `P` `[n, D]`. The encoder `f` is
//! PEFT's:
//! - MLP: `D -> h -> h -> D` with `ReLU` between, whatever number of layers the configuration names;
//! - LSTM: bidirectional over the virtual tokens, `h` each way, then `2h -> 2h -> D` with `ReLU` between. Gates stand in the
//!   order i, f, g, o, with two bias vectors each way and layer, from a zero state.
//!
//! Fresh values are PyTorch's: the table N(0, 1), linear layers uniform in ±`1/√fan_in`, the LSTM uniform in ±1/√h.
//! Defaults are the paper's choice for LLaMA, deduced from its Table 2 (16,093,696 parameters): LSTM, h 256, 4 layers, 20
//! virtual tokens.
//!
//! PEFT's file keeps the encoder's output alone. Ours keeps the encoder beside it; without it training goes on with the
//! output as a plain table. Dropout between LSTM layers draws one mask for a batch.

use burn::module::{Module, Param};
use burn::tensor::activation::{relu, sigmoid};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::config::refuse;
use super::part::Membership;
use super::preamble::DecoderShape;
use super::prompt::standard_normal;
use super::virtual_tokens::VirtualTokens;
use crate::error::Error;
use crate::linear::Linear;
use crate::model::dropout::dropped;
use crate::params::ParamMut;

/// Hyper-parameters of P-tuning.
#[derive(Debug, Clone, PartialEq)]
pub struct PTuningConfig {
    /// Virtual tokens, at least 1.
    pub num_virtual_tokens: usize,
    /// The network between table and input.
    pub encoder: EncoderKind,
    /// Its inner width; the model's by default.
    pub hidden_size: Option<usize>,
    /// Layers of the LSTM.
    pub num_layers: usize,
    /// Share of values zeroed between layers of the LSTM in training, in `[0, 1)`.
    pub dropout_prob: f64,
}

/// The network between table and input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EncoderKind {
    /// Three linear layers.
    Mlp,
    /// A bidirectional LSTM and two linear layers.
    Lstm,
}

impl Default for PTuningConfig {
    fn default() -> Self {
        Self {
            num_virtual_tokens: 20,
            encoder: EncoderKind::Lstm,
            hidden_size: Some(256),
            num_layers: 4,
            dropout_prob: 0.0,
        }
    }
}

impl PTuningConfig {
    /// Refuses values that have no meaning.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming the value.
    pub fn validate(&self, adapter: &str) -> Result<(), Error> {
        for (key, value) in [
            ("num_virtual_tokens", self.num_virtual_tokens),
            ("encoder_hidden_size", self.hidden_size.unwrap_or(1)),
            ("encoder_num_layers", self.num_layers),
        ] {
            if value == 0 {
                return refuse(adapter, format!("{key} = 0; must be at least 1"));
            }
        }
        if !(0.0..1.0).contains(&self.dropout_prob) {
            let reason = format!("encoder_dropout = {}; must be in [0, 1)", self.dropout_prob);
            return refuse(adapter, reason);
        }
        Ok(())
    }

    /// Number of trainable values: table and encoder.
    #[must_use]
    pub fn num_params(&self, shape: &DecoderShape) -> usize {
        let (d, h) = (shape.hidden_size, self.inner(shape));
        let linear = |inputs: usize, outputs: usize| inputs * outputs + outputs;
        let encoder = match self.encoder {
            EncoderKind::Mlp => linear(d, h) + linear(h, h) + linear(h, d),
            EncoderKind::Lstm => {
                let one_way = |inputs: usize| 4 * h * (inputs + h) + 8 * h;
                let lstm = 2 * (one_way(d) + (self.num_layers - 1) * one_way(2 * h));
                lstm + linear(2 * h, 2 * h) + linear(2 * h, d)
            }
        };
        self.num_virtual_tokens * d + encoder
    }

    fn inner(&self, shape: &DecoderShape) -> usize {
        self.hidden_size.unwrap_or(shape.hidden_size)
    }
}

/// Fresh virtual tokens.
pub(crate) fn init(
    membership: Membership,
    config: &PTuningConfig,
    shape: &DecoderShape,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> VirtualTokens {
    let (d, h) = (shape.hidden_size, config.inner(shape));
    let table = standard_normal([config.num_virtual_tokens, d], rng, device);
    let (lstm_head, mlp_head) = match config.encoder {
        EncoderKind::Mlp => {
            let head = [(d, h), (h, h), (h, d)];
            (Vec::new(), head.map(|(i, o)| uniform_linear(o, i, rng, device)).into())
        }
        EncoderKind::Lstm => {
            let layer = |i: usize, rng: &mut ChaCha8Rng| {
                LstmLayer::init(if i == 0 { d } else { 2 * h }, h, rng, device)
            };
            let lstm = (0..config.num_layers).map(|i| layer(i, rng)).collect();
            let head = [(2 * h, 2 * h), (2 * h, d)];
            (lstm, head.map(|(i, o)| uniform_linear(o, i, rng, device)).into())
        }
    };
    let encoder = PromptEncoder {
        embedding: Param::from_tensor(table),
        lstm_head,
        mlp_head,
        dropout_prob: config.dropout_prob,
    };
    VirtualTokens::encoded(membership, encoder)
}

/// A trainable linear layer as PyTorch fills one: weight and bias uniform in ±1/√inputs.
pub(crate) fn uniform_linear(outputs: usize, inputs: usize, rng: &mut ChaCha8Rng, device: &Device) -> Linear {
    Linear::trainable(
        uniform([outputs, inputs], inputs, rng, device),
        uniform([outputs], inputs, rng, device),
    )
}

/// Uniform in ±1/√fan.
fn uniform<const D: usize>(
    shape: [usize; D],
    fan: usize,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> Tensor<D> {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        reason = "a layer's width is far below 2^24, and weights are f32"
    )]
    let bound = (1.0 / (fan as f64).sqrt()) as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-bound..bound)).collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

/// Table and encoder of one adapter. Names of tensors are PEFT's.
#[derive(Module, Debug)]
pub(crate) struct PromptEncoder {
    embedding: Param<Tensor<2>>,
    /// Empty in an MLP.
    lstm_head: Vec<LstmLayer>,
    mlp_head: Vec<Linear>,
    dropout_prob: f64,
}

impl PromptEncoder {
    pub(crate) fn num_tokens(&self) -> usize {
        self.embedding.lazy_shape()[0]
    }

    /// The embeddings of the virtual tokens, `[n, D]`.
    pub(crate) fn forward(&self) -> Tensor<2> {
        let mut x = self.embedding.val(); // [n, D]
        for (i, layer) in self.lstm_head.iter().enumerate() {
            if i > 0 {
                x = dropped(x, self.dropout_prob);
            }
            x = layer.forward(x); // [n, 2h]
        }
        for (i, linear) in self.mlp_head.iter().enumerate() {
            if i > 0 {
                x = relu(x);
            }
            x = linear.forward(x);
        }
        x
    }

    pub(crate) fn params(&mut self, f: &mut dyn FnMut(&str, ParamMut<'_>)) {
        f("embedding.weight", ParamMut::Matrix(&mut self.embedding));
        for (i, layer) in self.lstm_head.iter_mut().enumerate() {
            for (direction, suffix) in [(&mut layer.forward, ""), (&mut layer.backward, "_reverse")] {
                let name = |tensor: &str| format!("lstm_head.{tensor}_l{i}{suffix}");
                f(&name("weight_ih"), ParamMut::Matrix(&mut direction.weight_ih));
                f(&name("weight_hh"), ParamMut::Matrix(&mut direction.weight_hh));
                f(&name("bias_ih"), ParamMut::Vector(&mut direction.bias_ih));
                f(&name("bias_hh"), ParamMut::Vector(&mut direction.bias_hh));
            }
        }
        for (i, linear) in self.mlp_head.iter_mut().enumerate() {
            linear_params(&format!("mlp_head.{}", 2 * i), linear, f);
        }
    }
}

/// Shows weight and bias of a linear layer of an encoder.
pub(crate) fn linear_params(path: &str, linear: &mut Linear, f: &mut dyn FnMut(&str, ParamMut<'_>)) {
    if let Some(weight) = linear.parameter_mut() {
        f(&format!("{path}.weight"), ParamMut::Matrix(weight));
    }
    if let Some(bias) = linear.bias.as_mut() {
        f(&format!("{path}.bias"), ParamMut::Vector(bias));
    }
}

/// Both directions of one layer of an LSTM.
#[derive(Module, Debug)]
struct LstmLayer {
    forward: LstmDirection,
    backward: LstmDirection,
}

/// Hochreiter and Schmidhuber 1997, with PyTorch's gates: `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')`.
#[derive(Module, Debug)]
struct LstmDirection {
    weight_ih: Param<Tensor<2>>,
    weight_hh: Param<Tensor<2>>,
    bias_ih: Param<Tensor<1>>,
    bias_hh: Param<Tensor<1>>,
}

impl LstmLayer {
    fn init(inputs: usize, h: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let mut direction = || LstmDirection {
            weight_ih: Param::from_tensor(uniform([4 * h, inputs], h, rng, device)),
            weight_hh: Param::from_tensor(uniform([4 * h, h], h, rng, device)),
            bias_ih: Param::from_tensor(uniform([4 * h], h, rng, device)),
            bias_hh: Param::from_tensor(uniform([4 * h], h, rng, device)),
        };
        Self { forward: direction(), backward: direction() }
    }

    /// `[n, inputs]` to `[n, 2h]`.
    fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        let [n, _] = x.dims();
        let forward = self.forward.run(x.clone(), 0..n);
        let mut backward = self.backward.run(x, (0..n).rev());
        backward.reverse();
        Tensor::cat(vec![Tensor::cat(forward, 0), Tensor::cat(backward, 0)], 1)
    }
}

impl LstmDirection {
    /// States after each of `steps`, in their order, `[1, h]` each.
    fn run(&self, x: Tensor<2>, steps: impl Iterator<Item = usize>) -> Vec<Tensor<2>> {
        let h = self.weight_hh.lazy_shape()[1];
        let bias = self.bias_ih.val() + self.bias_hh.val();
        let inputs = burn::tensor::module::linear(x, self.weight_ih.val().transpose(), Some(bias)); // [n, 4h]
        let recurrent = self.weight_hh.val().transpose();
        let zeros = Tensor::<2>::zeros([1, h], (&inputs.device(), DType::F32));
        let (mut hidden, mut cell) = (zeros.clone(), zeros);
        let step = |t: usize| {
            let gates = inputs.clone().narrow(0, t, 1) + hidden.clone().matmul(recurrent.clone()); // [1, 4h]
            let gate = |i: usize| gates.clone().narrow(1, i * h, h);
            cell = sigmoid(gate(1)) * cell.clone() + sigmoid(gate(0)) * gate(2).tanh();
            hidden = sigmoid(gate(3)) * cell.clone().tanh();
            hidden.clone()
        };
        steps.map(step).collect()
    }
}
