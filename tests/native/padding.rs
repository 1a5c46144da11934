//! A note has the same numbers alone and in any batch, whatever stands beside it and in whatever order.

use burn::tensor::Device;
use clinlora_core::model::head::CausalLm;
use clinlora_tests::{assert_close, read_golden, values};

use crate::{parity, tiny};

/// Products sum in another order where a batch has more rows than a note; f32 on the processor.
const SAME: f32 = 1e-5;

/// Every order of every selection of three notes.
fn arrangements() -> Vec<Vec<usize>> {
    let mut all = vec![];
    for a in 0..3 {
        all.push(vec![a]);
        for b in (0..3).filter(|b| *b != a) {
            all.push(vec![a, b]);
            let c = 3 - a - b;
            all.push(vec![a, b, c]);
        }
    }
    all.push(vec![0, 0, 2, 1, 0]);
    all
}

/// Checks every arrangement against each note alone; `run` gives the numbers of each note of a batch.
fn same_numbers_in_every_arrangement(
    what: &str,
    notes: &[Vec<u32>],
    run: impl Fn(&[Vec<u32>]) -> Vec<Vec<f32>>,
) {
    let alone: Vec<Vec<f32>> = notes.iter().map(|note| run(std::slice::from_ref(note)).remove(0)).collect();
    let mut worst = 0.0_f32;
    for arrangement in arrangements() {
        let chosen: Vec<Vec<u32>> = arrangement.iter().map(|i| notes[*i].clone()).collect();
        for (place, (i, numbers)) in arrangement.iter().zip(run(&chosen)).enumerate() {
            let what = format!("{what}: note {i} at place {place} of {arrangement:?}");
            worst = worst.max(assert_close(&what, &numbers, &alone[*i], SAME));
        }
    }
    tiny::table_line("padding", what, worst, SAME);
}

#[test]
fn next_token_logits_do_not_depend_on_the_batch() {
    let device = Device::flex();
    let notes = tiny::notes(&read_golden("llama_gqa", "golden.safetensors"));
    let mut stacked = tiny::causal_lm("llama_gqa", &device);
    tiny::adapter("peft_stack/clinical", "clinical", &device).attach(&mut stacked).unwrap();
    let run = |model: &CausalLm, notes: &[Vec<u32>]| -> Vec<Vec<f32>> {
        let logits = model.logits(&tiny::batch(notes, &device));
        let [_, tokens, vocabulary] = logits.dims();
        let rows = values(logits);
        let rows = rows.chunks_exact(tokens * vocabulary).zip(notes);
        rows.map(|(row, note)| row[..note.len() * vocabulary].to_vec()).collect()
    };
    for (what, model) in [
        ("next-token logits", &tiny::causal_lm("llama_gqa", &device)),
        ("next-token logits with an adapter", &stacked),
    ] {
        same_numbers_in_every_arrangement(what, &notes, |notes| run(model, notes));
    }
}

#[test]
fn class_logits_do_not_depend_on_the_batch() {
    let device = Device::flex();
    let notes = tiny::notes(&read_golden("peft_stack", "golden.safetensors"));
    let model = parity::stacked_classifier(&device);
    same_numbers_in_every_arrangement("class logits with two adapters", &notes, |notes| {
        let logits = model.logits(&tiny::batch(notes, &device));
        values(logits).chunks_exact(4).map(<[f32]>::to_vec).collect()
    });
}

#[test]
fn a_loss_is_the_sum_over_its_notes() {
    let device = Device::flex();
    let notes = tiny::notes(&read_golden("llama_mha", "golden.safetensors"));
    let model = tiny::causal_lm("llama_mha", &device);
    let loss = |notes: &[Vec<u32>]| values(model.nll_sum(&tiny::batch(notes, &device)))[0];
    let alone: f32 = notes.iter().map(|note| loss(std::slice::from_ref(note))).sum();
    // Sums near 100 of f32: one unit in the last place is 8e-6.
    assert_close("summed loss", &[loss(&notes)], &[alone], 5e-5);
}
