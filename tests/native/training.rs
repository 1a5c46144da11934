//! Ten updates by the trainer's own step against torch: full fine-tuning and LoRA, accumulation, clipping, schedule.

use burn::tensor::Device;
use clinlora::recipe::Training;
use clinlora::training::adamw::AdamW;
use clinlora::training::objective::LanguageModelling;
use clinlora::training::schedule::{RateFactors, learning_rate};
use clinlora::training::step;
use clinlora_core::model::head::CausalLm;
use clinlora_core::params::{Owner, for_each_param, set_trainable};
use clinlora_tests::{F32, assert_close, read_golden, values};
use serde_json::{Value, json};

use crate::tiny;

const UPDATES: u64 = 10;

/// What each update said.
#[derive(Default)]
pub(crate) struct History {
    pub(crate) loss: Vec<f32>,
    grad_norm: Vec<f32>,
    lr: Vec<f32>,
}

/// A `[training]` table: that of the golden curves, with `changes`.
pub(crate) fn training(changes: Value) -> Training {
    let mut table = json!({"epochs": 10, "learning_rate": 1e-2, "batch_size": 3, "schedule": "constant", "weight_decay": 0.01});
    let (table_map, Value::Object(changes)) = (table.as_object_mut().unwrap(), changes) else {
        panic!("changes are keys and values");
    };
    table_map.extend(changes);
    serde_json::from_value(table).expect("a training table")
}

/// Ten updates on the notes of `case`.
#[expect(clippy::cast_possible_truncation, reason = "golden curves are f32")]
pub(crate) fn train(case: &str, model: &mut CausalLm, training: &Training, device: &Device) -> History {
    let samples = tiny::samples(&read_golden(case, "golden.safetensors"));
    let samples: Vec<_> = samples.iter().collect();
    let mut optimizer = AdamW::default();
    let mut history = History::default();
    for update in 0..UPDATES {
        let (loss, gradients) =
            step::gradients(&LanguageModelling, model, &samples, training, update, device).unwrap();
        let outcome = step::measure(loss, &gradients);
        let lr = learning_rate(training, update, UPDATES, UPDATES);
        step::apply(model, &mut optimizer, gradients, outcome, training, lr, &RateFactors::default());
        history.loss.push(outcome.loss as f32);
        history.grad_norm.push(outcome.grad_norm as f32);
        history.lr.push(lr as f32);
    }
    history
}

#[test]
fn full_fine_tuning_follows_torch() {
    let device = Device::flex().autodiff();
    let mut model = tiny::causal_lm("llama_mha", &device);
    set_trainable(&mut model, &Owner::Base, true);
    let history = train("llama_mha", &mut model, &training(json!({})), &device);
    let expected = read_golden("llama_mha", "golden.safetensors");
    tiny::compare("llama_mha full", "curve of 10", &history.loss, &expected["curve"].values, F32);
}

#[test]
fn training_a_lora_follows_torch() {
    let device = Device::flex().autodiff();
    let expected = read_golden("peft_lora", "golden.safetensors");
    let max_norm = expected["max_norm"].values[0];
    let clipped = json!({"max_grad_norm": max_norm, "schedule": "linear", "warmup_ratio": 0.3});
    let halves = json!({"batch_size": 2, "accumulation_steps": 2});
    let means = json!({"batch_size": 2, "accumulation_steps": 2, "accumulation": "micro_mean"});
    for (curve, changes) in [
        ("curve", json!({})),
        ("curve_accumulated", halves),
        ("curve_micro_mean", means),
        ("curve_clipped", clipped),
    ] {
        let mut model = tiny::causal_lm("llama_mha", &device);
        tiny::adapter("peft_lora/adapter", "lora", &device).attach(&mut model).unwrap();
        let history = train("peft_lora", &mut model, &training(changes), &device);
        tiny::compare("peft_lora", &format!("{curve} of 10"), &history.loss, &expected[curve].values, F32);
        if curve == "curve" {
            let mut worst = 0.0_f32;
            for_each_param(&mut model, |owner, name, param| {
                if *owner != Owner::Base {
                    let key = format!("final.base_model.model.{name}");
                    worst = worst.max(assert_close(&key, &values(param.flat()), &expected[&key].values, F32));
                }
            });
            tiny::table_line("peft_lora", "factors after 10 updates", worst, F32);
        }
        if curve == "curve_clipped" {
            assert_close("lr", &history.lr, &expected["lr"].values, 1e-9);
            tiny::compare(
                "peft_lora",
                "gradient norms",
                &history.grad_norm,
                &expected["grad_norm"].values,
                F32,
            );
        }
    }
}
