//! Where a head reads a note: at its last token, or at a fixed place that is padding behind a shorter one.

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora_core::model::head::{Classifier, HeadValues, Pooling, set_head_values};
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::prefix::PrefixConfig;
use clinlora_core::peft::prompt::PromptConfig;
use clinlora_core::peft::stack::attach;
use clinlora_tests::{F32, assert_close, read_golden, values};

use crate::tiny;

const CASE: &str = "last_position";

/// The base of the case with its head, reading at place `tokens` and padding with id 2.
fn classifier(tokens: usize, device: &Device) -> Classifier {
    let head = &read_golden(CASE, "golden.safetensors")["score"];
    let mut model = tiny::classifier("llama_mha", 3, device);
    let weight = Tensor::from_data(TensorData::new(head.values.clone(), [3, 24]), (device, DType::F32));
    set_head_values(&mut model, &HeadValues { weight, bias: None }).unwrap();
    model.set_pooling(Pooling::LastPosition { tokens, pad_id: 2 });
    model
}

#[test]
fn a_head_at_padding_reads_what_transformers_reads_there() {
    let device = Device::flex();
    let expected = read_golden(CASE, "golden.safetensors");
    let notes = tiny::notes(&expected);
    let model = classifier(13, &device);
    let batch = tiny::batch(&notes, &device);
    let read = values(model.pooled(&batch));
    tiny::compare(CASE, "states at padding", &read, &expected["hidden.padded"].values, F32);
    let logits = values(model.logits(&batch));
    tiny::compare(CASE, "class logits at padding", &logits, &expected["logits.padded"].values, F32);

    let cut: Vec<Vec<u32>> = notes.iter().map(|note| note[..4].to_vec()).collect();
    let logits = values(classifier(4, &device).logits(&tiny::batch(&cut, &device)));
    tiny::compare(CASE, "class logits without padding", &logits, &expected["logits.whole"].values, F32);
}

#[test]
fn at_padding_too_a_note_has_the_same_numbers_alone_and_behind_virtual_tokens_and_slots() {
    let device = Device::flex();
    let notes = tiny::notes(&read_golden(CASE, "golden.safetensors"));
    let prompt = AdapterConfig::Prompt(PromptConfig { num_virtual_tokens: 3, ..PromptConfig::default() });
    let prefix = AdapterConfig::Prefix(PrefixConfig { num_virtual_tokens: 2, ..PrefixConfig::default() });
    for adapters in [vec![], vec![&prompt], vec![&prefix], vec![&prompt, &prefix]] {
        let mut model = classifier(13, &device);
        for (i, adapter) in adapters.iter().enumerate() {
            attach(&mut model, &format!("a{i}"), (*adapter).clone(), 5, &device).unwrap();
        }
        let together = values(model.logits(&tiny::batch(&notes, &device)));
        for (note, together) in notes.iter().zip(together.chunks_exact(3)) {
            let alone = values(model.logits(&tiny::batch(std::slice::from_ref(note), &device)));
            assert_close("alone", &alone, together, F32);
        }
        // A note that fills its places is read at its last token.
        model.set_pooling(Pooling::LastPosition { tokens: 11, pad_id: 2 });
        let longest = tiny::batch(&notes[1..2], &device);
        let at_place = values(model.logits(&longest));
        model.set_pooling(Pooling::LastToken);
        assert_close("a full note", &at_place, &values(model.logits(&longest)), F32);
    }
}
