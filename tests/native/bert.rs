//! BERT against Transformers, with and without LoRA against PEFT; files of both ages; what an encoder has no place for.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::config::{BertConfig, ModelConfig};
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::bert::Bert;
use clinlora_core::model::head::{Backbone, Classifier, HeadValues, classification_loss, set_head_values};
use clinlora_core::params::{Owner, for_each_param, set_trainable};
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::prefix::PrefixConfig;
use clinlora_core::peft::stack;
use clinlora_core::peft::store::{self, TaskType};
use clinlora_core::task::TaskKind;
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::RandomWeights;
use clinlora_tests::{F32, Golden, assert_close, golden, read_golden, values, weights};

use crate::methods::{AdamW, CURVE, read, reread};
use crate::tiny;

fn config() -> ModelConfig {
    let json = fs::read(golden("bert/model/config.json")).unwrap();
    ModelConfig::from_json(&json).unwrap()
}

/// The golden encoder under a head: the golden one, which an adapter's own replaces.
pub(crate) fn classifier(expected: &BTreeMap<String, Golden>, device: &Device) -> Classifier {
    let mut weights = weights(&golden("bert/model"), device);
    let backbone = Backbone::build(&config(), &mut weights);
    weights.finish().expect("every tensor has its place");
    let mut head = RandomWeights::new(1, device, DType::F32);
    let mut model = Classifier::build(backbone, &config(), 4, &mut head);
    let head = HeadValues {
        weight: expected["head.weight"].tensor(device),
        bias: Some(expected["head.bias"].tensor(device)),
    };
    set_head_values(&mut model, &head).expect("a head of this shape");
    model
}

fn loss(
    model: &mut Classifier,
    batch: &TokenBatch,
    expected: &BTreeMap<String, Golden>,
) -> (f32, BTreeMap<String, Vec<f32>>) {
    let mut targets = Vec::new();
    for label in &expected["class_labels"].values {
        targets.push((0..4_u8).map(|k| f32::from(u8::from(f32::from(k) == *label))).collect());
    }
    let loss = classification_loss(TaskKind::Multiclass, model.logits(batch), &targets, None);
    let loss = loss.sum / loss.weight;
    let mut gradients = loss.backward();
    let mut found = BTreeMap::new();
    for_each_param(model, |owner, name, param| {
        if let Some(gradient) = param.take_gradient(&mut gradients) {
            let owner = if *owner == Owner::Base { "base" } else { "a" };
            found.insert(format!("{owner}/{name}"), values(gradient));
        }
    });
    (values(loss)[0], found)
}

#[test]
fn logits_loss_and_every_gradient_equal_transformers() {
    let device = Device::flex().autodiff();
    let expected = read_golden("bert", "golden.safetensors");
    let mut model = classifier(&expected, &device);
    set_trainable(&mut model, &Owner::Base, true);
    let batch = tiny::batch(&tiny::notes(&expected), &device);
    let logits = values(model.logits(&batch));
    tiny::compare("bert", "logits", &logits, &expected["logits"].values, F32);
    let (loss, mut gradients) = loss(&mut model, &batch, &expected);
    tiny::compare("bert", "loss", &[loss], &expected["loss"].values, F32);
    let mut worst = 0.0_f32;
    for (name, gradient) in expected.iter().filter_map(|(n, g)| Some((n.strip_prefix("grad.")?, g))) {
        let ours = gradients.remove(&format!("base/{name}")).unwrap_or_else(|| panic!("no {name}"));
        worst = worst.max(assert_close(name, &ours, &gradient.values, F32));
    }
    assert!(gradients.is_empty(), "{:?}", gradients.keys());
    tiny::table_line("bert", "gradients", worst, F32);
}

#[test]
fn lora_on_a_bert_equals_python_peft_and_leaves_the_pooler_frozen() {
    let device = Device::flex().autodiff();
    let expected = read_golden("bert", "golden.safetensors");
    let mut model = classifier(&expected, &device);
    let plain = values(model.logits(&tiny::batch(&tiny::notes(&expected), &device)));
    let stored = read(&golden("bert/lora"), "a", &device);
    let config = stored.config.clone();
    stored.attach(&mut model).expect("it fits");
    let batch = tiny::batch(&tiny::notes(&expected), &device);
    let logits = values(model.logits(&batch));
    tiny::compare("bert/lora", "logits", &logits, &expected["lora.logits"].values, F32);
    let (first, mut gradients) = loss(&mut model, &batch, &expected);
    tiny::compare("bert/lora", "loss", &[first], &expected["lora.loss"].values, F32);
    let mut worst = 0.0_f32;
    for (name, gradient) in expected.iter().filter_map(|(n, g)| Some((n.strip_prefix("lora.grad.")?, g))) {
        let name = name.strip_prefix("base_model.model.").expect("wrapped twice");
        let owner = if name.starts_with("classifier") { "base" } else { "a" };
        let ours = gradients.remove(&format!("{owner}/{name}")).unwrap_or_else(|| panic!("no {name}"));
        worst = worst.max(assert_close(name, &ours, &gradient.values, F32));
    }
    assert!(gradients.is_empty(), "frozen, the pooler too: {:?}", gradients.keys());
    tiny::table_line("bert/lora", "gradients", worst, F32);

    // What is written is what was read, head included.
    let files = store::write(&mut model, "a", &config, TaskType::SequenceClassification, "base").unwrap();
    let theirs =
        clinlora_tests::parse_golden(&fs::read(golden("bert/lora/adapter_model.safetensors")).unwrap());
    let ours = clinlora_tests::parse_golden(&files.weights);
    assert!(ours.keys().eq(theirs.keys()), "{:?}", ours.keys());
    assert!(ours.iter().all(|(name, tensor)| tensor.values == theirs[name].values));
    let mut again = classifier(&expected, &device);
    reread(&files, "b", &device).attach(&mut again).expect("it fits");
    assert_eq!(values(again.logits(&batch)), logits);
    let merged = stack::merge(again).expect("a LoRA");
    assert_close("merged", &values(merged.logits(&batch)), &logits, F32);

    let (mut optimiser, mut curve) = (AdamW::default(), Vec::new());
    for _ in 0..10 {
        let (loss, gradients) = loss(&mut model, &batch, &expected);
        curve.push(loss);
        optimiser.step(&mut model, &gradients);
    }
    let wanted = &expected["lora.curve"].values;
    tiny::compare("bert/lora", "10-step curve", &curve, wanted, CURVE);

    stack::detach(&mut model, "a").unwrap();
    let head = HeadValues {
        weight: expected["head.weight"].tensor(&device),
        bias: Some(expected["head.bias"].tensor(&device)),
    };
    set_head_values(&mut model, &head).unwrap();
    assert_eq!(values(model.logits(&batch)), plain, "detached");
}

#[test]
fn padding_changes_nothing() {
    let device = Device::flex();
    let expected = read_golden("bert", "golden.safetensors");
    let model = classifier(&expected, &device);
    let notes = tiny::notes(&expected);
    let together = values(model.logits(&tiny::batch(&notes, &device)));
    let alone = notes.iter().flat_map(|note| {
        let batch = tiny::batch(std::slice::from_ref(note), &device);
        values(model.logits(&batch))
    });
    assert_close("padded against alone", &together, &alone.collect::<Vec<_>>(), F32);
}

#[test]
fn dropout_acts_in_training_alone() {
    let expected = read_golden("bert", "golden.safetensors");
    let ModelConfig::Bert(config) = config() else {
        panic!("a BERT");
    };
    let dropping = BertConfig { hidden_dropout_prob: 0.3, attention_probs_dropout_prob: 0.2, ..config };
    let pooled = |config: &BertConfig, device: &Device| {
        let mut weights = weights(&golden("bert/model"), device);
        let model = Bert::build(config, &mut weights);
        values(model.pooled(&tiny::batch(&tiny::notes(&expected), device)))
    };
    let (plain, training) = (Device::flex(), Device::flex().autodiff());
    training.seed(5);
    assert_eq!(pooled(&dropping, &plain), pooled(&config, &plain));
    assert_ne!(pooled(&dropping, &training), pooled(&config, &training));
}

#[test]
fn what_needs_a_decoder_is_refused_on_an_encoder() {
    let device = Device::flex();
    let expected = read_golden("bert", "golden.safetensors");
    let mut model = classifier(&expected, &device);
    let prefix = AdapterConfig::Prefix(PrefixConfig::default());
    let error = stack::attach(&mut model, "p", &prefix, 1, &device).unwrap_err().to_string();
    assert!(error.contains("prefix needs a decoder"), "{error}");
    for folder in ["peft_prefix/plain", "peft_adaption_prompt/mha", "peft_prompt/random"] {
        let error = read(&golden(folder), "p", &device).attach(&mut model).unwrap_err();
        assert!(error.to_string().contains("needs a decoder"), "{folder}: {error}");
    }
    let lora = read(&golden("peft_stack/downstream"), "l", &device);
    let error = lora.attach(&mut model).unwrap_err().to_string();
    assert!(error.contains("classification head"), "{error}");
    let labels = HeadValues {
        weight: Tensor::from_data(TensorData::zeros::<f32, _>([3, 24]), (&device, DType::F32)),
        bias: Some(Tensor::zeros([3], (&device, DType::F32))),
    };
    let error = set_head_values(&mut model, &labels).unwrap_err().to_string();
    assert!(error.contains("expected [4, 24], found [3, 24]"), "{error}");
    assert_eq!(stack::adapters(&mut model), Vec::<String>::new());
}

#[test]
fn a_bare_vocabulary_gives_the_ids_of_hugging_face() {
    let vocab = fs::read(golden("bert/old/vocab.txt")).unwrap();
    let tokens = fs::read(golden("bert/tokens.json")).unwrap();
    let tokens: serde_json::Value = serde_json::from_slice(&tokens).unwrap();
    for (name, lowercase) in [("cased", false), ("lower", true)] {
        let tokenizer = Tokenizer::from_wordpiece(&vocab, lowercase).unwrap();
        let again = Tokenizer::from_json(&tokenizer.to_json().unwrap()).unwrap();
        let texts = tokens["texts"].as_array().unwrap();
        for (text, wanted) in texts.iter().zip(tokens[name].as_array().unwrap()) {
            let wanted: Vec<u32> = serde_json::from_value(wanted.clone()).unwrap();
            let text = text.as_str().unwrap();
            assert_eq!(tokenizer.encode(text, 40).unwrap(), wanted, "{name}: {text:?}");
            assert_eq!(again.encode(text, 40).unwrap(), wanted, "{name}: {text:?}");
        }
    }
    assert!(Path::new(&golden("bert/old/tokenizer_config.json")).exists());
}
