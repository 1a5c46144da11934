//! The engine on a tiny bundle, held against plain forward passes of the same weights.

use burn::tensor::{DType, Device, Tensor, TensorData};

use super::*;
use crate::error::Error;
use crate::model::batch::TokenBatch;
use crate::model::head::Backbone;
use crate::params::for_each_site;
use crate::peft::lora::Lora;
use crate::peft::part::Membership;
use crate::quant::{Bits, unpack, unpack_row};
use crate::weights::bundle::tests::tiny;
use crate::weights::bundle::{Bundle, Format, Manifest};
use crate::weights::{Init, Weights};

/// f32 on the processor, in another order of summation.
const TOLERANCE: f32 = 1e-5;

/// The weights of a bundle, unpacked: an independent way to a model of them.
struct Unpacked<'a>(&'a Manifest, &'a Vec<Vec<u8>>);

impl Weights for Unpacked<'_> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D], _: Init) -> Tensor<D> {
        let base = self.0.base.as_ref().expect("a base");
        let tensor = base.tensors.iter().find(|tensor| tensor.name == name).expect("every tensor");
        let values = match tensor.format {
            Format::Int4 => {
                unpack(&tensor.read_words(self.1).expect("whole"), [shape[0], shape[1]], Bits::Four)
            }
            Format::Int8 => {
                unpack(&tensor.read_words(self.1).expect("whole"), [shape[0], shape[1]], Bits::Eight)
            }
            Format::Int8Rows => {
                let bytes = tensor.read(self.1).expect("whole");
                let words: Vec<u32> =
                    bytes.chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
                let mut values = Vec::new();
                words
                    .chunks_exact(words.len() / shape[0])
                    .for_each(|row| unpack_row(row, shape[1], &mut values));
                values
            }
            Format::F16 | Format::F32 => tensor.read_values(self.1).expect("finite"),
        };
        Tensor::from_data(TensorData::new(values, shape), (&Device::flex(), DType::F32))
    }
}

fn engine(bits: Bits, padding: Padding) -> (Engine, Manifest, Vec<Vec<u8>>) {
    let (manifest, shards) = tiny(bits);
    let bundle = Bundle::parse(&manifest.to_json().expect("valid")).expect("its own bytes");
    let mut steps = 0;
    let engine = Engine::load(bundle, Box::new(shards.clone()), padding, &Device::flex(), |_| steps += 1)
        .expect("loads");
    assert_eq!(steps, 3, "two layers and what remains");
    (engine, manifest, shards)
}

/// Logits of one task by a plain forward pass: unpacked weights, adapters always on, the full last layer.
fn plain(
    manifest: &Manifest,
    shards: &Vec<Vec<u8>>,
    notes: &[&[u32]],
    task: &str,
    stack: &[&str],
) -> Vec<f32> {
    let device = Device::flex();
    let bundle = Bundle::parse(&manifest.to_json().expect("valid")).expect("its own bytes");
    let mut model = Llama::build(bundle.config().expect("a base"), &mut Unpacked(manifest, shards));
    let matrix = |tensor: &BundleTensor| -> Tensor<2> {
        let values = tensor.read_values(shards).expect("finite");
        Tensor::from_data(TensorData::new(values, tensor.dims()), (&device, DType::F32))
    };
    for (place, name) in stack.iter().enumerate() {
        let adapter = manifest.adapters.iter().find(|adapter| adapter.name == *name).expect("an adapter");
        for_each_site(&mut model, |path, linear| {
            let of = |half: &str| {
                adapter.tensors.iter().find(|t| t.name == format!("{path}.lora_{half}.weight")).map(matrix)
            };
            if let (Some(a), Some(b)) = (of("A"), of("B")) {
                linear.deltas_mut().push(Lora::frozen(Membership::new(name, place), a, b, adapter.scale));
            }
        });
    }
    let pooled = Backbone::from(model).pooled(&TokenBatch::new(notes, &device).expect("notes"));
    let task = manifest.tasks.iter().find(|t| t.name == task).expect("a task");
    values(burn::tensor::module::linear(pooled, matrix(&task.head).transpose(), None))
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data_as::<f32>().as_slice::<f32>().expect("f32").to_vec()
}

fn assert_close(actual: &[f32], expected: &[f32], what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let worst = actual.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < TOLERANCE, "{what}: largest difference {worst}");
    assert!(expected.iter().any(|v| v.abs() > 1e-2), "{what}: nothing to compare");
}

const NOTES: [&[u32]; 3] = [&[1, 7, 99, 3, 3, 50], &[1], &[1, 100, 2, 41, 8, 9, 10, 11, 12, 13, 14, 15, 99]];

#[test]
fn one_batch_of_tasks_gives_what_each_gives_alone() {
    for bits in [Bits::Four, Bits::Eight] {
        for padding in [Padding::Longest, Padding::Buckets] {
            let (mut engine, manifest, shards) = engine(bits, padding);
            for (adapters, death, codes) in [
                (Adapters::Off, &[][..], &[][..]),
                (Adapters::Clinical, &["clinical"][..], &["clinical"][..]),
                (Adapters::All, &["clinical", "own"][..], &["clinical"][..]),
            ] {
                let logits = engine.run(&NOTES, &["DIAG", "MOR"], adapters).expect("runs");
                let parts = logits.split(&values(logits.values.clone()));
                let what = format!("{bits:?} {padding:?} {adapters:?}");
                assert_eq!(parts[0].0, "DIAG");
                assert_close(&parts[0].1.concat(), &plain(&manifest, &shards, &NOTES, "DIAG", codes), &what);
                assert_close(&parts[1].1.concat(), &plain(&manifest, &shards, &NOTES, "MOR", death), &what);
                let alone = engine.run(&NOTES[..1], &["MOR"], adapters).expect("runs");
                assert_close(&values(alone.values), &parts[1].1[0], &what);
            }
        }
    }
}

#[test]
fn adapters_change_what_is_predicted() {
    let (mut engine, ..) = engine(Bits::Eight, Padding::Longest);
    let mut of = |adapters| values(engine.run(&NOTES, &["MOR"], adapters).expect("runs").values);
    let all = [of(Adapters::Off), of(Adapters::Clinical), of(Adapters::All)];
    for (i, j) in [(0, 1), (1, 2), (0, 2)] {
        assert!(all[i].iter().zip(&all[j]).any(|(a, b)| (a - b).abs() > 1e-2), "{i} and {j}: {all:?}");
    }
}

#[test]
fn passes_under_way_do_not_disturb_each_other() {
    let (mut engine, ..) = engine(Bits::Four, Padding::Longest);
    let alone = values(engine.run(&NOTES, &["MOR"], Adapters::All).expect("runs").values);
    let mut first = engine.start(&NOTES, &["MOR"], Adapters::All).expect("starts");
    assert_eq!(engine.step(&mut first), Progress { done: 1, total: 2 });
    let mut second = engine.start(&NOTES[..1], &["MOR", "DIAG"], Adapters::Off).expect("starts");
    engine.step(&mut second);
    assert!(values(second.fence())[0].is_finite());
    drop(second); // cancelled
    assert!(engine.step(&mut first).is_done());
    assert!(engine.step(&mut first).is_done(), "a step too many does nothing");
    assert_eq!(values(first.into_logits().expect("done").values), alone);
}

#[test]
fn what_cannot_be_run_is_refused() {
    let (mut engine, ..) = engine(Bits::Four, Padding::Longest);
    for (notes, tasks, named) in [
        (&[][..], &["MOR"][..], "empty"),
        (&[&[1_u32][..], &[][..]][..], &["MOR"][..], "empty"),
        (&NOTES[..], &[][..], "at least one task"),
        (&NOTES[..], &["MOR", "MOR"][..], "each once"),
        (&NOTES[..], &["LOS"][..], "no task LOS"),
        (&[&[131_u32][..]][..], &["MOR"][..], "row 131"),
    ] {
        let error = engine.run(notes, tasks, Adapters::All).expect_err(named).to_string();
        assert!(error.contains(named), "{named}: {error}");
    }
    assert!(engine.probabilities("MOR", &[0.0, f32::NAN]).is_err());
    assert!(engine.probabilities("MOR", &[0.0]).is_err());
    assert_eq!(engine.probabilities("MOR", &[1.0, 1.0]).expect("two scores"), [0.5, 0.5]);
}

#[test]
fn adapters_come_later_and_only_for_their_base() {
    let (whole, manifest, shards) = engine(Bits::Four, Padding::Longest);
    drop(whole);
    let base_alone = Manifest { adapters: Vec::new(), tasks: Vec::new(), ..manifest.clone() };
    let adapters_alone = Manifest { base: None, ..manifest.clone() };
    let parse = |manifest: &Manifest| Bundle::parse(&manifest.to_json().expect("valid"));
    let base = parse(&base_alone).expect("a base alone");
    let adapters = parse(&adapters_alone).expect("adapters alone");
    let refused = Loader::new(adapters.clone(), Box::new(shards.clone()), Padding::Longest, &Device::flex());
    assert!(refused.err().expect("no base").to_string().contains("load that base first"));

    let mut engine = Engine::load(base, Box::new(shards.clone()), Padding::Longest, &Device::flex(), |_| {})
        .expect("loads");
    assert!(engine.run(&NOTES, &["MOR"], Adapters::All).is_err(), "no task yet");
    engine.add(&adapters, &shards).expect("for this base");
    let logits = values(engine.run(&NOTES, &["MOR"], Adapters::All).expect("runs").values);
    assert_close(&logits, &plain(&manifest, &shards, &NOTES, "MOR", &["clinical", "own"]), "added later");
    let again = engine.add(&adapters, &shards).expect_err("taken").to_string();
    assert!(again.contains("MOR is loaded already"), "{again}");

    let other = parse(&tiny(Bits::Eight).0).expect("another base");
    let error = engine.add(&other, &shards).expect_err("another base").to_string();
    assert!(error.contains("are for the base") && error.contains(&manifest.base_sha256[..12]), "{error}");
}

#[test]
fn a_source_that_fails_fails_the_load() {
    let (manifest, mut shards) = tiny(Bits::Four);
    let bundle = Bundle::parse(&manifest.to_json().expect("valid")).expect("its own bytes");
    shards.pop();
    let load = |shards| {
        Engine::load(bundle.clone(), Box::new(shards), Padding::Longest, &Device::flex(), |_| {}).err()
    };
    assert!(matches!(load(shards), Some(Error::Container { .. })));
    let (_, mut shards) = tiny(Bits::Four);
    let base = manifest.base.as_ref().expect("a base");
    let norm =
        base.tensors.iter().find(|t| t.name == "model.norm.weight").expect("the final norm").segments[0];
    let start = usize::try_from(norm.offset).expect("small");
    shards[norm.shard][start..start + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    assert!(matches!(load(shards), Some(Error::NotFinite { .. })));
}

#[test]
fn lengths_come_in_buckets() {
    assert_eq!(Padding::Longest.length(70), 70);
    for (tokens, length) in [(1, 64), (64, 64), (65, 128), (2048, 2048), (2049, 4096)] {
        assert_eq!(Padding::Buckets.length(tokens), length);
    }
}
