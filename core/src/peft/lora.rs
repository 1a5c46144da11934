//! LoRA: low-rank adaptation.
//!
//! Hu et al. 2021, arXiv 2106.09685: `h = W·x + (alpha / r)·B·A·x`, `A` `[r, d_in]`, `B` `[d_out, r]`. Fresh factors
//! are PEFT's: `A` uniform in ±`1/√d_in` (Kaiming with a = √5), `B` zero, so a fresh adapter changes nothing.
//! Rank-stabilised scaling, `alpha / √r`, is Kalajdzievski 2023, arXiv 2312.03732. Factors are f32 whatever the base
//! is; they are cast to the activations' type for the product, so that an optimiser never steps in bf16.

use burn::module::{Module, Param};
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::config::refuse;
use super::part::{Membership, Part};
use crate::config::LLAMA_TARGETS;
use crate::error::Error;
use crate::kernels::projection::projection;
use crate::model::dropout::{dropped, drops};
use crate::params::ParamMut;

/// Hyper-parameters of a LoRA adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraConfig {
    /// Rank of the update, at least 1.
    pub r: usize,
    /// Numerator of the scale.
    pub alpha: f64,
    /// Share of input elements zeroed in training, in `[0, 1)`.
    pub dropout_prob: f64,
    /// Last parts of the paths of the layers that get a delta, such as `q_proj`.
    pub target_modules: Vec<String>,
    /// Scale by `alpha / √r` rather than `alpha / r`.
    pub use_rslora: bool,
}

impl Default for LoraConfig {
    /// The search's usual winner in the paper: r 16, alpha 32, no dropout, on the query and value projections.
    fn default() -> Self {
        Self {
            r: 16,
            alpha: 32.0,
            dropout_prob: 0.0,
            target_modules: LLAMA_TARGETS.map(String::from).into(),
            use_rslora: false,
        }
    }
}

impl LoraConfig {
    /// The factor before `B·A`.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a rank is far below 2^52")]
    pub fn scale(&self) -> f64 {
        let r = self.r as f64;
        self.alpha / if self.use_rslora { r.sqrt() } else { r }
    }

    /// Whether the layer at `path` gets a delta: the path is a target or ends with `.target`.
    #[must_use]
    pub fn targets(&self, path: &str) -> bool {
        self.target_modules.iter().any(|target| is_at(path, target))
    }

    /// Refuses a target that matches none of the layers at `paths`.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming the target.
    pub fn check_targets<'a>(
        &self,
        adapter: &str,
        paths: impl Iterator<Item = &'a str> + Clone,
    ) -> Result<(), Error> {
        for target in &self.target_modules {
            if !paths.clone().any(|path| is_at(path, target)) {
                let reason = format!("target module {target} matches no layer of this model");
                return refuse(adapter, reason);
            }
        }
        Ok(())
    }

    /// Number of trainable values on a layer of shape `[d_out, d_in]`.
    #[must_use]
    pub fn num_params(&self, [d_out, d_in]: [usize; 2]) -> usize {
        self.r * (d_in + d_out)
    }

    /// Refuses values that have no meaning.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming the value.
    pub fn validate(&self, adapter: &str) -> Result<(), Error> {
        if self.r == 0 {
            return refuse(adapter, "r = 0; a LoRA needs a rank of at least 1");
        }
        if self.r > 1 << 16 {
            return refuse(adapter, format!("r = {}; above every layer there is", self.r));
        }
        if !self.alpha.is_finite() {
            let reason = format!("lora_alpha = {}; must be a finite number", self.alpha);
            return refuse(adapter, reason);
        }
        if !(0.0..1.0).contains(&self.dropout_prob) {
            let reason = format!("lora_dropout = {}; must be in [0, 1)", self.dropout_prob);
            return refuse(adapter, reason);
        }
        if self.target_modules.is_empty() {
            return refuse(adapter, "target_modules is empty; name at least one layer, such as q_proj");
        }
        Ok(())
    }
}

fn is_at(path: &str, target: &str) -> bool {
    path.strip_suffix(target).is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

/// One adapter's factors on one linear layer.
#[derive(Module, Debug)]
pub struct Lora {
    pub(crate) a: Param<Tensor<2>>,
    pub(crate) b: Param<Tensor<2>>,
    #[module(skip)]
    membership: Membership,
    scale: f64,
    dropout_prob: f64,
}

impl Lora {
    /// Fresh factors for a layer of shape `[d_out, d_in]`, active and trainable.
    #[expect(clippy::cast_possible_truncation, reason = "factors are f32")]
    pub(crate) fn init(
        membership: Membership,
        config: &LoraConfig,
        [d_out, d_in]: [usize; 2],
        rng: &mut ChaCha8Rng,
        device: &Device,
    ) -> Self {
        let bound = (1.0 / (d_in as f64).sqrt()) as f32;
        let a: Vec<f32> = (0..config.r * d_in).map(|_| rng.random_range(-bound..bound)).collect();
        let a = Tensor::from_data(TensorData::new(a, [config.r, d_in]), (device, DType::F32));
        let b = Tensor::zeros([d_out, config.r], (device, DType::F32));
        Self {
            a: Param::from_tensor(a),
            b: Param::from_tensor(b),
            membership,
            scale: config.scale(),
            dropout_prob: config.dropout_prob,
        }
    }

    /// Factors as they are: `a` `[r, d_in]`, `b` `[d_out, r]`, active and frozen.
    pub(crate) fn frozen(membership: Membership, a: Tensor<2>, b: Tensor<2>, scale: f64) -> Self {
        let frozen = |factor| Param::from_tensor(factor).set_require_grad(false);
        Self { a: frozen(a), b: frozen(b), membership, scale, dropout_prob: 0.0 }
    }

    /// Whether it acts on every note of the batch `x`, and on all of its values.
    pub(crate) fn reads_all_of<const N: usize>(&self, x: &Tensor<N>) -> bool {
        self.covers(x.dims()[0]) && !drops(self.dropout_prob, &x.device())
    }

    fn covers(&self, batch: usize) -> bool {
        match self.membership.rows.as_slice() {
            [] => true,
            [all] => *all == (0..batch),
            _ => false,
        }
    }

    /// What this adapter adds to the layer's output: `s·((dropout(x)·Aᵀ)·Bᵀ)`.
    ///
    /// Dropout acts on an autodiff device only, in a frozen adapter too, as in PEFT's training mode.
    ///
    /// # Shapes
    /// - `x`: `[.., d_in]`
    /// - result: `[.., d_out]`
    pub(crate) fn delta<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        let [a, b] = self.scaled_factors(x.dtype());
        let mut dims = x.dims();
        dims[N - 1] = b.dims()[0];
        let x = dropped(x, self.dropout_prob).flatten::<2>(0, N.saturating_sub(2));
        projection(projection(x, a), b).reshape(dims)
    }

    /// `y`, the output for `x`, with this adapter's part added to the rows of the batch it acts on.
    ///
    /// # Shapes
    /// - `x`: `[B, .., d_in]`
    /// - `y` and result: `[B, .., d_out]`
    pub(crate) fn added<const N: usize>(&self, y: Tensor<N>, x: Tensor<N>) -> Tensor<N> {
        if self.covers(x.dims()[0]) {
            return y + self.delta(x);
        }
        self.rows_of(x.dims()[0]).fold(y, |y, rows| {
            let of = |t: &Tensor<N>| t.clone().narrow(0, rows.start, rows.len());
            let part = of(&y) + self.delta(of(&x));
            y.slice_assign([rows], part)
        })
    }

    /// Whether it acts on a row of the batch.
    #[cfg(feature = "wgsl")]
    pub(crate) fn acts_on(&self, row: usize) -> bool {
        self.membership.rows.is_empty() || self.membership.rows.iter().any(|rows| rows.contains(&row))
    }

    /// The rows of a batch it acts on.
    pub(crate) fn rows_of(&self, batch: usize) -> impl Iterator<Item = std::ops::Range<usize>> {
        let all = self.membership.rows.is_empty().then_some(0..batch);
        all.into_iter().chain(self.membership.rows.iter().cloned())
    }

    /// `A`, `[r, d_in]`, and `s·B`, `[d_out, r]`.
    pub(crate) fn scaled_factors(&self, dtype: DType) -> [Tensor<2>; 2] {
        [self.a.val().cast(dtype), (self.b.val() * self.scale).cast(dtype)]
    }

    /// The update as a dense weight, `s·B·A`, `[d_out, d_in]`, f32.
    pub(crate) fn weight_delta(&self) -> Tensor<2> {
        self.b.val().matmul(self.a.val()) * self.scale
    }

    /// Name of the adapter this delta belongs to.
    #[must_use]
    pub fn adapter(&self) -> &str {
        &self.membership.adapter
    }

    /// Whether it takes part in the forward pass.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.membership.active
    }
}

/// The [factors](Lora::scaled_factors) of the sum of `loras`, whose rank is the sum of theirs; none of no LoRA.
pub(crate) fn concatenated(loras: &[&Lora], dtype: DType) -> Option<[Tensor<2>; 2]> {
    let (mut down, mut up): (Vec<_>, Vec<_>) =
        loras.iter().map(|lora| lora.scaled_factors(dtype)).map(|[a, b]| (a, b)).unzip();
    Some(match down.len() {
        0 => return None,
        1 => [down.remove(0), up.remove(0)],
        _ => [Tensor::cat(down, 0), Tensor::cat(up, 1)],
    })
}

impl Part for Lora {
    fn membership(&self) -> &Membership {
        &self.membership
    }

    fn membership_mut(&mut self) -> &mut Membership {
        &mut self.membership
    }

    fn params(&mut self, f: &mut dyn FnMut(&str, ParamMut<'_>)) {
        f("lora_A.weight", ParamMut::Matrix(&mut self.a));
        f("lora_B.weight", ParamMut::Matrix(&mut self.b));
    }
}
