//! Where a model's tensors come from. A network asks for each tensor by name and shape, in forward order, and never
//! learns whether it is drawn at random or read from a file; so no second copy of a model is ever in memory.

pub mod bundle;
pub mod checkpoint;
pub mod safetensors;
pub mod source;

use burn::module::Param;
use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

use crate::linear::Base;

/// How a tensor is drawn when it is not read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// All zero.
    Zeros,
    /// All one.
    Ones,
}

/// A source of named tensors.
pub trait Weights {
    /// The tensor `name` of `shape`.
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D], init: Init) -> Tensor<D>;

    /// The same as a frozen parameter.
    fn param<const D: usize>(&mut self, name: &str, shape: [usize; D], init: Init) -> Param<Tensor<D>> {
        Param::from_tensor(self.tensor(name, shape, init)).set_require_grad(false)
    }

    /// The weight of a linear layer, in whichever form the source has it.
    fn linear(&mut self, name: &str, shape: [usize; 2], init: Init) -> Base {
        self.param(name, shape, init).into()
    }

    /// A table of rows as a frozen parameter; none if the source keeps it and hands out rows itself.
    fn table(&mut self, name: &str, shape: [usize; 2], init: Init) -> Option<Param<Tensor<2>>> {
        Some(self.param(name, shape, init))
    }
}

/// Draws every tensor from one seeded generator; equal on every device.
#[derive(Debug)]
pub struct RandomWeights {
    rng: ChaCha8Rng,
    device: Device,
    dtype: DType,
}

impl RandomWeights {
    /// Tensors of `dtype` on `device`.
    #[must_use]
    pub fn new(seed: u64, device: &Device, dtype: DType) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), device: device.clone(), dtype }
    }
}

impl Weights for RandomWeights {
    fn tensor<const D: usize>(&mut self, _name: &str, shape: [usize; D], init: Init) -> Tensor<D> {
        let options = (&self.device, self.dtype);
        match init {
            Init::Zeros => Tensor::zeros(shape, options),
            Init::Ones => Tensor::ones(shape, options),
            Init::Normal(std) => {
                #[expect(clippy::cast_possible_truncation, reason = "weights are f32")]
                let normal = Normal::new(0.0_f32, std as f32).expect("a standard deviation is not negative");
                let count = shape.iter().product();
                let values: Vec<f32> = normal.sample_iter(&mut self.rng).take(count).collect();
                Tensor::from_data(TensorData::new(values, shape), options)
            }
        }
    }
}
