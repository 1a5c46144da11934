//! Walking a model's tensors by their Hugging Face names.
//!
//! A model implements [`Walk`] once; attaching adapters, loading heads, freezing, saving, optimising and
//! reporting are all built on it.

use burn::module::Param;
use burn::tensor::Tensor;

use crate::linear::Linear;
use crate::peft::adaption_prompt::AdaptionPrompt;
use crate::peft::part::Parts;
use crate::peft::preamble::Preamble;

/// A model whose parts can be visited by name.
pub trait Walk {
    /// Shows every linear layer and every other tensor to `visitor`, each exactly once, in forward order.
    fn walk(&mut self, visitor: &mut dyn Visitor);
}

/// What [`Walk::walk`] shows.
pub trait Visitor {
    /// A linear layer: a site where an adapter may sit. `path` is its Hugging Face name, such as
    /// `model.layers.0.self_attn.q_proj`.
    fn linear(&mut self, path: &str, linear: &mut Linear);

    /// A table that is no linear layer: the token embedding.
    fn matrix(&mut self, _name: &str, _param: &mut Param<Tensor<2>>) {}

    /// A gain or bias of a norm.
    fn vector(&mut self, _name: &str, _param: &mut Param<Tensor<1>>) {}

    /// The prompts of an attention layer's own: a site of adaption prompts. `path` is the layer's, such as
    /// `model.layers.0.self_attn`.
    fn prompts(&mut self, _path: &str, _prompts: &mut Vec<AdaptionPrompt>) {}

    /// What stands before a note: the site of virtual tokens and prefixes.
    fn preamble(&mut self, _preamble: &mut Preamble) {}
}

/// One named tensor of a model, of any rank.
pub enum ParamMut<'a> {
    /// A gain or bias.
    Vector(&'a mut Param<Tensor<1>>),
    /// A weight, table or LoRA factor.
    Matrix(&'a mut Param<Tensor<2>>),
    /// An adaption prompt.
    Cube(&'a mut Param<Tensor<3>>),
}

impl ParamMut<'_> {
    /// Sizes of the dimensions.
    #[must_use]
    pub fn shape(&self) -> Vec<usize> {
        match self {
            Self::Vector(param) => param.lazy_shape().to_vec(),
            Self::Matrix(param) => param.lazy_shape().to_vec(),
            Self::Cube(param) => param.lazy_shape().to_vec(),
        }
    }

    /// Whether training changes it.
    #[must_use]
    pub fn is_trainable(&self) -> bool {
        match self {
            Self::Vector(param) => param.is_require_grad(),
            Self::Matrix(param) => param.is_require_grad(),
            Self::Cube(param) => param.is_require_grad(),
        }
    }

    /// Freezes it or makes it trainable.
    pub fn set_trainable(&mut self, trainable: bool) {
        match self {
            Self::Vector(param) => **param = (*param).clone().set_require_grad(trainable),
            Self::Matrix(param) => **param = (*param).clone().set_require_grad(trainable),
            Self::Cube(param) => **param = (*param).clone().set_require_grad(trainable),
        }
    }

    /// The values as one row, without their place in the gradient tape.
    #[must_use]
    pub fn flat(&self) -> Tensor<1> {
        match self {
            Self::Vector(param) => param.val().inner(),
            Self::Matrix(param) => param.val().inner().flatten(0, 1),
            Self::Cube(param) => param.val().inner().flatten(0, 2),
        }
    }

    /// Replaces the values by `flat`, keeping shape, identity and trainability.
    ///
    /// # Panics
    /// If `flat` has another number of elements.
    pub fn set_flat(&mut self, flat: Tensor<1>) {
        match self {
            Self::Vector(param) => replace(param, flat),
            Self::Matrix(param) => {
                let shape = param.lazy_shape();
                replace(param, flat.reshape(shape));
            }
            Self::Cube(param) => {
                let shape = param.lazy_shape();
                replace(param, flat.reshape(shape));
            }
        }
    }

    /// Takes this tensor's gradient out of `gradients`, as one row.
    #[cfg(feature = "autodiff")]
    pub fn take_gradient(&self, gradients: &mut burn::tensor::Gradients) -> Option<Tensor<1>> {
        match self {
            Self::Vector(param) => param.val().grad_remove(gradients),
            Self::Matrix(param) => param.val().grad_remove(gradients).map(|g| g.flatten(0, 1)),
            Self::Cube(param) => param.val().grad_remove(gradients).map(|g| g.flatten(0, 2)),
        }
    }
}

/// Puts `value` into `param`: same device, tape association and trainability as before.
fn replace<const D: usize>(param: &mut Param<Tensor<D>>, value: Tensor<D>) {
    *param = param.clone().map(|old| {
        let trainable = old.is_require_grad();
        #[cfg(feature = "autodiff")]
        let value = if old.is_autodiff() { value.inner().autodiff() } else { value };
        value.set_require_grad(trainable)
    });
}

/// Whose tensor it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// The base model, or the head on it.
    Base,
    /// The adapter of this name.
    Adapter(String),
}

/// Shows every tensor of `model` once: its owner, its name within the owner, and the tensor. Packed weights are codes and
/// no parameters, and are left out.
///
/// Base tensors carry their Hugging Face name (`model.norm.weight`), those of adapters PEFT's
/// (`model.layers.0.self_attn.q_proj.lora_A.weight`, `prompt_embeddings`); the tensors of an encoder those of PEFT's
/// module (`mlp_head.0.weight`).
pub fn for_each_param(model: &mut dyn Walk, mut f: impl FnMut(&Owner, &str, ParamMut<'_>)) {
    struct Params<F>(F);
    impl<F: FnMut(&Owner, &str, ParamMut<'_>)> Params<F> {
        fn parts(&mut self, path: &str, parts: &mut dyn Parts) {
            parts.for_each(&mut |part| {
                let owner = Owner::Adapter(part.membership().adapter.clone());
                part.params(&mut |name, param| self.0(&owner, &join(path, name), param));
            });
        }
    }
    impl<F: FnMut(&Owner, &str, ParamMut<'_>)> Visitor for Params<F> {
        fn linear(&mut self, path: &str, linear: &mut Linear) {
            if let Some(weight) = linear.parameter_mut() {
                self.0(&Owner::Base, &format!("{path}.weight"), ParamMut::Matrix(weight));
            }
            if let Some(bias) = linear.bias.as_mut() {
                self.0(&Owner::Base, &format!("{path}.bias"), ParamMut::Vector(bias));
            }
            self.parts(path, linear.deltas_mut());
        }
        fn matrix(&mut self, name: &str, param: &mut Param<Tensor<2>>) {
            self.0(&Owner::Base, name, ParamMut::Matrix(param));
        }
        fn vector(&mut self, name: &str, param: &mut Param<Tensor<1>>) {
            self.0(&Owner::Base, name, ParamMut::Vector(param));
        }
        fn prompts(&mut self, path: &str, prompts: &mut Vec<AdaptionPrompt>) {
            self.parts(path, prompts);
        }
        fn preamble(&mut self, preamble: &mut Preamble) {
            self.parts("", &mut preamble.virtual_tokens);
            self.parts("", &mut preamble.prefixes);
        }
    }
    model.walk(&mut Params(&mut f));
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// Shows the parts of adapters at every place of `model` that has room for some, of whichever method.
pub fn for_each_parts(model: &mut dyn Walk, mut f: impl FnMut(&mut dyn Parts)) {
    struct All<F>(F);
    impl<F: FnMut(&mut dyn Parts)> Visitor for All<F> {
        fn linear(&mut self, _path: &str, linear: &mut Linear) {
            self.0(linear.deltas_mut());
        }
        fn prompts(&mut self, _path: &str, prompts: &mut Vec<AdaptionPrompt>) {
            self.0(prompts);
        }
        fn preamble(&mut self, preamble: &mut Preamble) {
            self.0(&mut preamble.virtual_tokens);
            self.0(&mut preamble.prefixes);
        }
    }
    model.walk(&mut All(&mut f));
}

/// Shows every linear layer of `model` once.
pub fn for_each_site(model: &mut dyn Walk, f: impl FnMut(&str, &mut Linear)) {
    struct Sites<F>(F);
    impl<F: FnMut(&str, &mut Linear)> Visitor for Sites<F> {
        fn linear(&mut self, path: &str, linear: &mut Linear) {
            self.0(path, linear);
        }
    }
    model.walk(&mut Sites(f));
}

/// Freezes every tensor of `owner`, or makes all of them trainable.
pub fn set_trainable(model: &mut dyn Walk, owner: &Owner, trainable: bool) {
    for_each_param(model, |whose, _, mut param| {
        if whose == owner {
            param.set_trainable(trainable);
        }
    });
}
