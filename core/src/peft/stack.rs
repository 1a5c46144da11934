//! The stack of named adapters on one model: order is that of attaching, and each may be active or not, frozen or
//! trainable. With adapters `c` and `d` active a layer computes `W·x + s_c·B_c·A_c·x + s_d·B_d·A_d·x` (paper, eq. 3).

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;

use super::lora::{Lora, LoraConfig};
use crate::error::{Error, Misshapen};
use crate::linear::Linear;
use crate::params::{Owner, Walk, for_each_param, for_each_site};

/// Puts a fresh adapter on every layer `config` targets; returns how many. It is active and trainable, and changes
/// nothing until trained.
///
/// # Errors
/// [`Error::Adapter`] if the name is taken, a value has no meaning, or a target matches no layer.
pub fn attach(
    model: &mut dyn Walk,
    adapter: &str,
    config: &LoraConfig,
    seed: u64,
    device: &Device,
) -> Result<usize, Error> {
    check_attachable(model, adapter, config)?;
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut sites = 0;
    for_each_site(model, |path, linear| {
        if config.targets(path) {
            let lora = Lora::init(adapter, config, linear.shape(), &mut rng, device);
            linear.deltas_mut().push(lora);
            sites += 1;
        }
    });
    Ok(sites)
}

/// Factors of one layer: `A` `[r, d_in]` and `B` `[d_out, r]`.
pub type Factors = (Tensor<2>, Tensor<2>);

/// Puts a loaded adapter on the layers named in `factors`. It is active and trainable.
///
/// # Errors
/// [`Error::Adapter`] as for [`attach`]; [`Error::Tensors`] with every layer that is missing on one side or of another
/// shape: an adapter for another base ends here.
pub fn attach_loaded(
    model: &mut dyn Walk,
    adapter: &str,
    config: &LoraConfig,
    mut factors: BTreeMap<String, Factors>,
) -> Result<usize, Error> {
    check_attachable(model, adapter, config)?;
    let (mut missing, mut misshapen) = (Vec::new(), Vec::new());
    for_each_site(model, |path, linear| {
        if !config.targets(path) {
            return;
        }
        let [d_out, d_in] = linear.shape();
        let Some((a, b)) = factors.get(path) else {
            missing.push(format!("{path}.lora_A.weight"));
            return;
        };
        let checks = [("lora_A", a, [config.r, d_in]), ("lora_B", b, [d_out, config.r])];
        misshapen.extend(
            checks
                .into_iter()
                .filter(|(_, t, expected)| t.dims() != *expected)
                .map(|(factor, tensor, expected)| Misshapen {
                    name: format!("{path}.{factor}.weight"),
                    expected: expected.to_vec(),
                    found: tensor.dims().to_vec(),
                }),
        );
    });
    let mut sites = Vec::new();
    for_each_site(model, |path, _| sites.push(path.to_owned()));
    let unexpected: Vec<String> = factors
        .keys()
        .filter(|path| !sites.contains(path) || !config.targets(path))
        .cloned()
        .collect();
    if !(missing.is_empty() && unexpected.is_empty() && misshapen.is_empty()) {
        let what = format!("adapter {adapter}");
        return Err(Error::Tensors {
            what,
            missing,
            unexpected,
            misshapen,
        });
    }
    let count = factors.len();
    for_each_site(model, |path, linear| {
        if let Some((a, b)) = factors.remove(path) {
            linear
                .deltas_mut()
                .push(Lora::from_factors(adapter, config, a, b));
        }
    });
    Ok(count)
}

/// Takes an adapter off; what remains is the model as if it had never been attached.
///
/// # Errors
/// [`Error::Adapter`] if there is none of this name.
pub fn detach(model: &mut dyn Walk, adapter: &str) -> Result<(), Error> {
    require(model, adapter)?;
    for_each_site(model, |_, linear| {
        linear.deltas_mut().retain(|lora| lora.adapter() != adapter)
    });
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
    for_each_site(model, |_, linear| {
        for lora in linear.deltas_mut() {
            let is_active = active.contains(&lora.adapter());
            lora.set_active(is_active);
        }
    });
    Ok(())
}

/// Adds every active adapter into the base weights, `W + Σ s·B·A`, and drops the stack.
#[must_use = "merging returns the merged model and leaves nothing behind"]
pub fn merge<M: Walk>(mut model: M) -> M {
    for_each_site(&mut model, |_, linear| {
        if linear.deltas().is_empty() {
            return;
        }
        let merged: Linear = linear.clone().merged();
        *linear = merged;
    });
    model
}

/// Names of the attached adapters, in the order they were attached.
pub fn adapters(model: &mut dyn Walk) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for_each_site(model, |_, linear| {
        for lora in linear.deltas() {
            if !names.iter().any(|name| name == lora.adapter()) {
                names.push(lora.adapter().to_owned());
            }
        }
    });
    names
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
            Owner::Base if name.starts_with(crate::model::head::SCORE) => "head".to_owned(),
            Owner::Base => "base".to_owned(),
        };
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let parts = name
            .split('.')
            .map(|part| if is_number(part) { "*" } else { part });
        let tensors = parts.collect::<Vec<_>>().join(".");
        let trainable = param.is_trainable();
        let values = param.shape().iter().product();
        let same = |g: &&mut ParamGroup| g.owner == owner && g.tensors == tensors && g.trainable == trainable;
        match groups.iter_mut().find(same) {
            Some(group) => {
                group.count += 1;
                group.values += values;
            }
            None => groups.push(ParamGroup {
                owner,
                tensors,
                count: 1,
                values,
                trainable,
            }),
        }
    });
    groups
}

fn check_attachable(model: &mut dyn Walk, adapter: &str, config: &LoraConfig) -> Result<(), Error> {
    config.validate(adapter)?;
    let refuse = |reason: String| {
        Err(Error::Adapter {
            adapter: adapter.to_owned(),
            reason,
        })
    };
    if adapters(model).iter().any(|name| name == adapter) {
        return refuse("an adapter of this name is attached already".into());
    }
    for target in &config.target_modules {
        let alone = LoraConfig {
            target_modules: vec![target.clone()],
            ..config.clone()
        };
        let mut found = false;
        for_each_site(model, |path, _| found |= alone.targets(path));
        if !found {
            return refuse(format!("target module {target} matches no layer of this model"));
        }
    }
    Ok(())
}

fn require(model: &mut dyn Walk, adapter: &str) -> Result<(), Error> {
    let names = adapters(model);
    if names.iter().any(|name| name == adapter) {
        return Ok(());
    }
    let reason = format!("not attached; the stack holds [{}]", names.join(", "));
    Err(Error::Adapter {
        adapter: adapter.to_owned(),
        reason,
    })
}
