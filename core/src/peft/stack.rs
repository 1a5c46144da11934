//! The stack of named adapters on one model: order is that of attaching, and each may be active or not, frozen or
//! trainable, of any method. With LoRA adapters `c` and `d` active a layer computes
//! `W·x + s_c·B_c·A_c·x + s_d·B_d·A_d·x` (paper, eq. 3); how prompts and prefixes stand beside each other is said in
//! [`preamble`](super::preamble).
//!
//! Of what could be asked of a stack the maths forbids one thing: merging anything but LoRA. A prompt or prefix adds
//! tokens, keys or a second softmax, which no change of a weight can stand for.

use burn::module::Param;
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::adaption_prompt::{AdaptionPrompt, AdaptionPromptConfig};
use super::config::{AdapterConfig, refuse};
use super::lora::{Lora, LoraConfig};
use super::part::{Membership, Parts};
use super::preamble::{DecoderShape, Preamble};
use super::prefix::Prefix;
use super::{p_tuning, prompt};
use crate::error::Error;
use crate::linear::Linear;
use crate::model::head::is_head;
use crate::params::{Owner, Visitor, Walk, for_each_param, for_each_parts, for_each_site};

/// Puts a fresh adapter on every place of `model` that `config` asks for; returns how many. It is active and trainable.
/// A fresh LoRA or adaption prompt changes nothing until trained.
///
/// # Errors
/// [`Error::Adapter`] if the name is taken, a value has no meaning, or the model has no such place.
pub fn attach(
    model: &mut dyn Walk,
    adapter: &str,
    config: impl Into<AdapterConfig>,
    seed: u64,
    device: &Device,
) -> Result<usize, Error> {
    let config = config.into();
    config.validate(adapter)?;
    let membership = join(model, adapter)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let decoder = decoder_shape(model);
    let shape = || decoder.map_or_else(|| config.needs_decoder(adapter), Ok);
    match &config {
        AdapterConfig::Lora(config) => attach_lora(model, membership, config, &mut rng, device),
        AdapterConfig::AdaptionPrompt(config) => {
            attach_prompts(model, membership, config, shape()?, &mut rng, device)
        }
        AdapterConfig::Prefix(config) => {
            let prefix = Prefix::init(membership, config, &shape()?, &mut rng, device);
            Ok(in_preamble(model, |preamble| preamble.prefixes.push(prefix)))
        }
        AdapterConfig::Prompt(config) => {
            let ids = config.init_ids(adapter)?;
            let words = ids.map(|ids| word_embeddings(model, adapter, &ids)).transpose()?;
            let tokens = prompt::init(membership, config, &shape()?, words, &mut rng, device);
            Ok(in_preamble(model, |preamble| {
                preamble.virtual_tokens.push(tokens);
            }))
        }
        AdapterConfig::PTuning(config) => {
            let tokens = p_tuning::init(membership, config, &shape()?, &mut rng, device);
            Ok(in_preamble(model, |preamble| {
                preamble.virtual_tokens.push(tokens);
            }))
        }
    }
}

fn attach_lora(
    model: &mut dyn Walk,
    membership: Membership,
    config: &LoraConfig,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> Result<usize, Error> {
    let mut paths = Vec::new();
    for_each_site(model, |path, _| paths.push(path.to_owned()));
    config.check_targets(&membership.adapter, paths.iter().map(String::as_str))?;
    let mut sites = 0;
    for_each_site(model, |path, linear| {
        if config.targets(path) {
            let lora = Lora::init(membership.clone(), config, linear.shape(), rng, device);
            linear.deltas_mut().push(lora);
            sites += 1;
        }
    });
    Ok(sites)
}

fn attach_prompts(
    model: &mut dyn Walk,
    membership: Membership,
    config: &AdaptionPromptConfig,
    shape: DecoderShape,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> Result<usize, Error> {
    struct Layers<F>(F);
    impl<F: FnMut(&mut Vec<AdaptionPrompt>)> Visitor for Layers<F> {
        fn linear(&mut self, _path: &str, _linear: &mut Linear) {}
        fn prompts(&mut self, _path: &str, prompts: &mut Vec<AdaptionPrompt>) {
            self.0(prompts);
        }
    }
    config.check_fits(&membership.adapter, &shape)?;
    let without = shape.num_layers - config.adapter_layers;
    let mut layer = 0;
    model.walk(&mut Layers(|prompts: &mut Vec<AdaptionPrompt>| {
        if layer >= without {
            let prompt = AdaptionPrompt::init(membership.clone(), config, shape.hidden_size, rng, device);
            prompts.push(prompt);
        }
        layer += 1;
    }));
    Ok(config.adapter_layers)
}

/// Changes the preamble of `model`, and counts 1.
pub(super) fn in_preamble(model: &mut dyn Walk, f: impl FnOnce(&mut Preamble)) -> usize {
    struct Once<F>(Option<F>);
    impl<F: FnOnce(&mut Preamble)> Visitor for Once<F> {
        fn linear(&mut self, _path: &str, _linear: &mut Linear) {}
        fn preamble(&mut self, preamble: &mut Preamble) {
            if let Some(f) = self.0.take() {
                f(preamble);
            }
        }
    }
    model.walk(&mut Once(Some(f)));
    1
}

/// Shape of `model`, if it is a decoder.
pub(super) fn decoder_shape(model: &mut dyn Walk) -> Option<DecoderShape> {
    let mut shape = None;
    in_preamble(model, |preamble| shape = Some(preamble.shape()));
    shape
}

/// Rows of the token embedding at `ids`, `[ids, D]`.
fn word_embeddings(model: &mut dyn Walk, adapter: &str, ids: &[u32]) -> Result<Tensor<2>, Error> {
    struct Table(Option<Tensor<2>>);
    impl Visitor for Table {
        fn linear(&mut self, _path: &str, _linear: &mut Linear) {}
        fn matrix(&mut self, _name: &str, param: &mut Param<Tensor<2>>) {
            self.0.get_or_insert_with(|| param.val());
        }
    }
    let mut table = Table(None);
    model.walk(&mut table);
    let Some(table) = table.0 else {
        return refuse(adapter, "the model has no token embedding to begin from");
    };
    let rows = table.dims()[0];
    if let Some(id) = ids.iter().find(|id| **id as usize >= rows) {
        let reason = format!("its text has the token id {id}, and the model an embedding of {rows} rows");
        return refuse(adapter, reason);
    }
    let ids: Vec<i32> = ids.iter().map(|id| id.cast_signed()).collect();
    let count = ids.len();
    let ids = Tensor::<1, Int>::from_data(TensorData::new(ids, [count]), (&table.device(), DType::I32));
    Ok(table.select(0, ids).detach())
}

/// The membership of a new adapter, on top of the stack.
pub(super) fn join(model: &mut dyn Walk, adapter: &str) -> Result<Membership, Error> {
    let members = members(model);
    if members.iter().any(|member| member.adapter == adapter) {
        return refuse(adapter, "an adapter of this name is attached already");
    }
    let place = members.last().map_or(0, |top| top.place + 1);
    Ok(Membership::new(adapter, place))
}

/// One membership of each adapter, from the bottom up.
fn members(model: &mut dyn Walk) -> Vec<Membership> {
    let mut members: Vec<Membership> = Vec::new();
    for_each_part(model, |membership| {
        if !members.iter().any(|known| known.adapter == membership.adapter) {
            members.push(membership.clone());
        }
    });
    members.sort_by_key(|member| member.place);
    members
}

fn for_each_part(model: &mut dyn Walk, mut f: impl FnMut(&mut Membership)) {
    for_each_parts(model, |parts: &mut dyn Parts| {
        parts.for_each(&mut |part| f(part.membership_mut()));
    });
}

/// Takes an adapter off; what remains is the model as if it had never been attached.
///
/// # Errors
/// [`Error::Adapter`] if there is none of this name.
pub fn detach(model: &mut dyn Walk, adapter: &str) -> Result<(), Error> {
    require(model, adapter)?;
    for_each_parts(model, |parts| parts.remove(adapter));
    Ok(())
}

/// Makes exactly the named adapters take part in the forward pass.
///
/// # Errors
/// [`Error::Adapter`] if one of them is not attached; nothing is changed then.
pub fn set_active(model: &mut dyn Walk, active: &[&str]) -> Result<(), Error> {
    for adapter in active {
        require(model, adapter)?;
    }
    for_each_part(model, |membership| {
        membership.active = active.contains(&membership.adapter.as_str());
    });
    Ok(())
}

/// Adds every active adapter into the base weights, `W + Σ s·B·A`, and drops the stack.
///
/// # Errors
/// [`Error::Adapter`] if an active adapter is no LoRA: it is no change of a weight.
pub fn merge<M: Walk>(mut model: M) -> Result<M, Error> {
    for member in members(&mut model) {
        let mut sites = 0;
        for_each_site(&mut model, |_, linear| {
            sites += linear.deltas().iter().filter(|lora| lora.adapter() == member.adapter).count();
        });
        if member.active && sites == 0 {
            return refuse(
                &member.adapter,
                "only LoRA can be merged: a prompt or prefix adds tokens or keys, which no change of a weight can \
                 stand for; deactivate it, or keep it as an adapter",
            );
        }
    }
    for_each_site(&mut model, |_, linear| {
        if linear.deltas().is_empty() {
            return;
        }
        let merged: Linear = linear.clone().merged();
        *linear = merged;
    });
    for adapter in adapters(&mut model) {
        detach(&mut model, &adapter)?;
    }
    Ok(model)
}

/// Names of the attached adapters, in the order they were attached.
pub fn adapters(model: &mut dyn Walk) -> Vec<String> {
    members(model).into_iter().map(|member| member.adapter).collect()
}

/// One line of [`report`]: tensors that belong together.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ParamGroup {
    /// `base`, `head`, or the adapter's name.
    pub owner: String,
    /// Name of the tensors, with `*` for the layer number.
    pub tensors: String,
    /// How many tensors.
    pub count: usize,
    /// Values in all of them.
    pub values: usize,
    /// Whether training changes them.
    pub trainable: bool,
}

/// Every tensor of `model`, grouped over the layers: what a training run will change and what not.
pub fn report(model: &mut dyn Walk) -> Vec<ParamGroup> {
    let mut groups: Vec<ParamGroup> = Vec::new();
    for_each_param(model, |owner, name, param| {
        let owner = match owner {
            Owner::Adapter(adapter) => adapter.clone(),
            Owner::Base if is_head(name) => "head".to_owned(),
            Owner::Base => "base".to_owned(),
        };
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts = name.split('.').map(|part| if is_number(part) { "*" } else { part });
        let tensors = parts.collect::<Vec<_>>().join(".");
        let trainable = param.is_trainable();
        let values = param.shape().iter().product();
        let same = |g: &&mut ParamGroup| g.owner == owner && g.tensors == tensors && g.trainable == trainable;
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.count += 1;
                group.values += values;
            }
            None => groups.push(ParamGroup { owner, tensors, count: 1, values, trainable }),
        }
    });
    groups
}

fn require(model: &mut dyn Walk, adapter: &str) -> Result<(), Error> {
    let names = adapters(model);
    if names.iter().any(|name| name == adapter) {
        return Ok(());
    }
    let reason = format!("not attached; the stack holds [{}]", names.join(", "));
    refuse(adapter, reason)
}
