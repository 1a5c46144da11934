//! A backward pass that keeps the input of each block and nothing within it. What is within is computed again when the
//! block's turn comes, for a third more work. Chen et al. 2016, arXiv 1604.06174.
//!
//! The model runs forward without a record of what it does; then the loss runs back to what enters it, and block after block
//! from the top, each as a pass of its own. Below the lowest tensor that is trained nothing is run again.

use burn::module::Module;
use burn::tensor::{Gradients, Tensor};

use super::batch::TokenBatch;
use super::head::is_head;
use super::llama::Llama;
use crate::params::{Walk, for_each_param};

/// Runs `loss` of `model`'s hidden states of `batch` forward and back, block by block, and hands `take` the gradients of each
/// part. A tensor that several parts read has a gradient from each of them: they are to be summed. Returns the loss, `[1]`,
/// without autodiff.
///
/// `decoder` is the decoder of `model`. `loss` is shown `model` and the states after the final norm, as
/// [`Llama::forward_batch`] makes them. `seed` decides what dropout zeroes, the same both times a block is run.
pub fn backward_by_blocks<M: Walk>(
    model: &mut M,
    decoder: fn(&M) -> &Llama,
    batch: &TokenBatch,
    seed: u64,
    loss: impl FnOnce(&M, Tensor<3>) -> Tensor<1>,
    mut take: impl FnMut(&mut M, &mut Gradients),
) -> Tensor<1> {
    let device = batch.ids().device();
    let draw =
        |part: usize| device.seed(seed.wrapping_add((part as u64).wrapping_mul(0xA076_1D64_78BD_642F)));
    let layers = decoder(model).num_layers();
    let lowest = lowest_trained(model, layers);

    let frozen = decoder(model).clone().no_grad();
    let mut pass = frozen.begin_batch(batch);
    let mut inputs = Vec::with_capacity(layers + 1);
    while pass.layers_done() < layers {
        inputs.push(pass.states());
        draw(pass.layers_done());
        frozen.step(&mut pass);
    }
    drop(frozen);

    let x = leaf(pass.states(), lowest <= layers);
    draw(layers);
    let loss = loss(model, decoder(model).finish(x.clone()));
    let mut gradients = loss.backward();
    let mut above = x.grad_remove(&mut gradients);
    take(model, &mut gradients);
    drop((x, gradients));

    while let Some(input) = inputs.pop() {
        let Some(gradient) = above.take() else { break };
        let layer = inputs.len();
        let x = leaf(input, lowest <= layer);
        draw(layer);
        let y = decoder(model).again(&pass, x.clone(), layer);
        let mut gradients = weighed(y, gradient).backward();
        above = x.grad_remove(&mut gradients);
        take(model, &mut gradients);
    }
    if let Some(gradient) = above {
        let embedded = decoder(model).begin_batch(batch).states();
        if embedded.is_tracked() {
            take(model, &mut weighed(embedded, gradient).backward());
        }
    }
    loss.inner()
}

/// `x`, at which a gradient is kept if it is wanted.
fn leaf(x: Tensor<3>, wanted: bool) -> Tensor<3> {
    if wanted { x.require_grad() } else { x }
}

/// A number whose gradient of `y` is `gradient`, to the bit.
fn weighed(y: Tensor<3>, gradient: Tensor<3>) -> Tensor<1> {
    (y * Tensor::from_inner(gradient)).sum()
}

/// The lowest part with something to train: 0 before the blocks, `1 + i` for block `i`, and one more above them.
fn lowest_trained(model: &mut dyn Walk, layers: usize) -> usize {
    let mut lowest = layers + 1;
    for_each_param(model, |_, name, param| {
        if param.is_trainable() {
            let block: Option<usize> =
                name.strip_prefix("model.layers.").and_then(|rest| rest.split('.').next()?.parse().ok());
            let is_above = name.starts_with("model.norm.") || name.starts_with("lm_head.") || is_head(name);
            lowest = lowest.min(match block {
                Some(block) => 1 + block,
                None if is_above => layers + 1,
                None => 0,
            });
        }
    });
    lowest
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    use burn::tensor::{DType, Device, TensorData};

    use super::*;
    use crate::config::LlamaConfig;
    use crate::model::head::CausalLm;
    use crate::params::{Owner, set_trainable};
    use crate::peft::adaption_prompt::AdaptionPromptConfig;
    use crate::peft::config::AdapterConfig;
    use crate::peft::lora::LoraConfig;
    use crate::peft::prefix::PrefixConfig;
    use crate::peft::prompt::{PromptConfig, PromptInit};
    use crate::peft::stack::attach;
    use crate::weights::RandomWeights;

    pub(in super::super) type Named = BTreeMap<String, Vec<f32>>;

    pub(in super::super) fn flat<const N: usize>(x: Tensor<N>) -> Vec<f32> {
        x.into_data_as::<f32>().as_slice::<f32>().expect("f32").to_vec()
    }

    pub(in super::super) fn collect(model: &mut CausalLm, gradients: &mut Gradients, sums: &mut Named) {
        for_each_param(model, |owner, name, param| {
            if let Some(gradient) = param.take_gradient(gradients) {
                let gradient = flat(gradient);
                let sum =
                    sums.entry(format!("{owner:?} {name}")).or_insert_with(|| vec![0.0; gradient.len()]);
                sum.iter_mut().zip(gradient).for_each(|(sum, value)| *sum += value);
            }
        });
    }

    /// A model of three blocks with `adapters`, every value of which matters.
    pub(in super::super) fn model(adapters: &[(&str, AdapterConfig)], device: &Device) -> CausalLm {
        let config = LlamaConfig::preset(61, 24, 40, 3, 4, 2);
        let mut model = CausalLm::build(&config, &mut RandomWeights::new(1, device, DType::F32));
        for (name, config) in adapters {
            attach(&mut model, name, config.clone(), 3, device).expect("attaches");
        }
        for_each_param(&mut model, |_, name, mut param| {
            let flat = param.flat();
            let count = flat.dims()[0];
            let wave = (0..count).map(|i| 0.3 * (i as f32 * 0.7 + name.len() as f32).sin()).collect();
            let wave = Tensor::from_data(TensorData::new(wave, [count]), (&flat.device(), DType::F32));
            param.set_flat(flat + wave);
        });
        model
    }

    pub(in super::super) fn batch(device: &Device) -> TokenBatch {
        let notes: [&[u32]; 3] = [&[1, 5, 60, 4, 4], &[1, 9], &[1, 2, 3]];
        TokenBatch::new(&notes, device).expect("notes")
    }

    /// One test at a time: the seed that a pass by blocks sets is the whole process's.
    fn alone() -> MutexGuard<'static, ()> {
        static SEED: Mutex<()> = Mutex::new(());
        SEED.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn both(model: &mut CausalLm, batch: &TokenBatch) -> [(Vec<f32>, Named); 2] {
        let _alone = alone();
        let mut whole = Named::new();
        let loss = model.nll_sum(batch);
        collect(model, &mut loss.backward(), &mut whole);
        let mut parts = Named::new();
        let by_blocks = backward_by_blocks(
            model,
            |model| &model.model,
            batch,
            7,
            |model, hidden| model.nll_sum_of(hidden, batch),
            |model, gradients| collect(model, gradients, &mut parts),
        );
        [(flat(loss), whole), (flat(by_blocks), parts)]
    }

    #[test]
    fn gradients_are_those_of_one_backward_pass() {
        let device = Device::flex().autodiff();
        let lora = LoraConfig { r: 3, alpha: 5.0, ..LoraConfig::default() };
        let prefix = PrefixConfig { num_virtual_tokens: 3, ..PrefixConfig::default() };
        let projected = PrefixConfig { projection: true, encoder_hidden_size: Some(10), ..prefix.clone() };
        let prompt = PromptConfig { num_virtual_tokens: 2, init: PromptInit::Random };
        let own = AdaptionPromptConfig { adapter_len: 4, adapter_layers: 2 };
        let cases: [&[(&str, AdapterConfig)]; 5] = [
            &[("lora", lora.clone().into())],
            &[("prefix", AdapterConfig::Prefix(prefix))],
            &[("projected", AdapterConfig::Prefix(projected))],
            &[("own", AdapterConfig::AdaptionPrompt(own))],
            &[("prompt", AdapterConfig::Prompt(prompt)), ("lora", lora.into())],
        ];
        let mut models = cases.map(|adapters| model(adapters, &device));
        let full = model(&[], &device);
        for (case, model) in models.iter_mut().chain([&mut trained_whole(full)]).enumerate() {
            for batch in [batch(&device), batch(&device).without_padding()] {
                let [(loss, whole), (by_blocks, parts)] = both(model, &batch);
                assert_eq!(loss, by_blocks, "case {case}");
                let names = |gradients: &Named| gradients.keys().cloned().collect::<Vec<_>>();
                assert!(!whole.is_empty(), "case {case}");
                assert_eq!(names(&whole), names(&parts), "case {case}");
                for (name, expected) in &whole {
                    let largest = expected.iter().fold(1e-3f32, |largest, value| largest.max(value.abs()));
                    for (a, e) in parts[name].iter().zip(expected) {
                        assert!((a - e).abs() <= 1e-6 * largest, "case {case}, {name}: {a} instead of {e}");
                    }
                }
            }
        }
    }

    fn trained_whole(mut model: CausalLm) -> CausalLm {
        set_trainable(&mut model, &Owner::Base, true);
        model
    }

    #[test]
    fn a_lora_gets_the_same_bits() {
        let device = Device::flex().autodiff();
        let lora = LoraConfig { r: 3, alpha: 5.0, ..LoraConfig::default() };
        let mut model = model(&[("lora", lora.into())], &device);
        let [whole, parts] = both(&mut model, &batch(&device));
        assert!(whole == parts, "to the bit");
    }

    #[test]
    fn nothing_is_run_again_below_what_is_trained() {
        let device = Device::flex().autodiff();
        let lora =
            LoraConfig { r: 3, target_modules: vec!["layers.2.mlp.up_proj".into()], ..LoraConfig::default() };
        let mut model = model(&[("lora", lora.into())], &device);
        assert_eq!(lowest_trained(&mut model, 3), 3);
        let batch = batch(&device);
        let mut parts = 0;
        let _alone = alone();
        let _ = backward_by_blocks(
            &mut model,
            |model| &model.model,
            &batch,
            7,
            |model, hidden| model.nll_sum_of(hidden, &batch),
            |_, _| parts += 1,
        );
        assert_eq!(parts, 2, "the head and the last block");
    }

    #[test]
    fn dropout_zeroes_the_same_both_times() {
        let _alone = alone();
        let device = Device::flex().autodiff();
        let lora = LoraConfig { r: 3, alpha: 5.0, dropout_prob: 0.4, ..LoraConfig::default() };
        let mut model = model(&[("lora", lora.into())], &device);
        let batch = batch(&device);
        let mut at = |nudge: f32| {
            let mut of_one = None;
            let mut sums = Named::new();
            for_each_param(&mut model, |owner, name, mut param| {
                if *owner != Owner::Base && name.ends_with("layers.0.self_attn.q_proj.lora_B.weight") {
                    let flat = param.flat();
                    let one = Tensor::<1>::from_data(
                        TensorData::new(vec![nudge], [1]),
                        (&flat.device(), DType::F32),
                    );
                    let second = 1..2;
                    let nudged = flat.clone().slice([second.clone()]) + one;
                    param.set_flat(flat.slice_assign([second], nudged));
                    of_one = Some(format!("{owner:?} {name}"));
                }
            });
            let loss = backward_by_blocks(
                &mut model,
                |model| &model.model,
                &batch,
                7,
                |model, hidden| model.nll_sum_of(hidden, &batch),
                |model, gradients| collect(model, gradients, &mut sums),
            );
            (flat(loss)[0], sums[&of_one.expect("a factor of the first layer")][1])
        };
        // Central differences: with other masks in the second run the gradient would be another function's.
        let (step, (_, gradient)) = (0.02, at(0.0));
        let (ahead, back) = (at(step).0, at(-2.0 * step).0);
        let slope = (ahead - back) / (2.0 * step);
        assert!((slope - gradient).abs() <= 0.02 * gradient.abs().max(0.05), "{slope} against {gradient}");
    }
}
