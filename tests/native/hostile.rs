//! Damaged and hostile weights, handed to the model crate: each a clear error, nothing allocated on a file's word alone.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::{DType, Device};
use clinlora::folders::base::sources;
use clinlora_core::Error;
use clinlora_core::error::Misshapen;
use clinlora_core::model::head::CausalLm;
use clinlora_core::weights::checkpoint::{CheckpointWeights, TensorSource};
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::golden;
use serde_json::{Value, json};

use crate::tiny::{self, Stored};

/// A file: header length, header, data.
fn file(header: &Value, data: &[u8]) -> Vec<u8> {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn refusal(bytes: Vec<u8>) -> String {
    match SafetensorsFile::open("model.safetensors", bytes) {
        Err(error @ Error::Container { .. }) => error.to_string(),
        Err(other) => panic!("another kind of error: {other}"),
        Ok(_) => panic!("a damaged file was opened"),
    }
}

fn whole_file() -> Vec<u8> {
    std::fs::read(golden("llama_mha/model/model.safetensors")).unwrap()
}

/// Cut at every place where a part ends, and at many others.
#[test]
fn a_truncated_file_is_refused_wherever_it_was_cut() {
    let whole = whole_file();
    let header = 8 + usize::try_from(u64::from_le_bytes(whole[..8].try_into().unwrap())).unwrap();
    let inside = (1..64).map(|i| i * whole.len() / 64);
    for length in [0, 1, 7, 8, 9, header - 1, header, header + 1, whole.len() - 1].into_iter().chain(inside) {
        let message = refusal(whole[..length].to_vec());
        assert!(message.starts_with("model.safetensors: "), "{length} bytes: {message}");
    }
    let mut longer = whole;
    longer.push(0);
    refusal(longer);
}

#[test]
fn a_header_that_lies_is_refused() {
    let f32s =
        |shape: Value, offsets: Value| json!({"dtype": "F32", "shape": shape, "data_offsets": offsets});
    let huge = 1_u64 << 62;
    for (defect, header, data) in [
        (
            "overlapping",
            json!({"a": f32s(json!([2]), json!([0, 8])), "b": f32s(json!([2]), json!([4, 12]))}),
            12,
        ),
        (
            "the same bytes twice",
            json!({"a": f32s(json!([2]), json!([0, 8])), "b": f32s(json!([2]), json!([0, 8]))}),
            8,
        ),
        ("a gap", json!({"a": f32s(json!([2]), json!([0, 8])), "b": f32s(json!([2]), json!([12, 20]))}), 20),
        ("a gap in front", json!({"a": f32s(json!([2]), json!([4, 12]))}), 12),
        ("bytes left over", json!({"a": f32s(json!([2]), json!([0, 8]))}), 12),
        ("beyond the end", json!({"a": f32s(json!([4]), json!([0, 16]))}), 8),
        ("backwards", json!({"a": f32s(json!([2]), json!([8, 0]))}), 8),
        ("larger than its bytes", json!({"a": f32s(json!([3]), json!([0, 8]))}), 8),
        ("a shape whose product overflows", json!({"a": f32s(json!([huge, huge]), json!([0, 8]))}), 8),
        ("a shape whose bytes overflow", json!({"a": f32s(json!([huge]), json!([0, 8]))}), 8),
        (
            "offsets near the largest number",
            json!({"a": f32s(json!([2]), json!([u64::MAX - 7, u64::MAX]))}),
            8,
        ),
        ("a negative size", json!({"a": f32s(json!([-2]), json!([0, 8]))}), 8),
        ("an unknown number format", json!({"a": {"dtype": "F31", "shape": [2], "data_offsets": [0, 8]}}), 8),
        ("no offsets", json!({"a": {"dtype": "F32", "shape": [2]}}), 8),
        ("not an object", json!([1, 2]), 8),
    ] {
        let message = std::panic::catch_unwind(|| refusal(file(&header, &vec![0; data])))
            .unwrap_or_else(|_| panic!("{defect}: not refused"));
        assert!(message.starts_with("model.safetensors: "), "{defect}: {message}");
    }
}

#[test]
fn a_header_length_is_not_believed() {
    for length in [u64::MAX, u64::MAX - 8, 1 << 62, 1 << 40, 200_000_000] {
        let mut bytes = whole_file();
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        refusal(bytes);
    }
    let mut not_json = whole_file();
    not_json[8] = b'[';
    refusal(not_json);
    let mut not_text = whole_file();
    not_text[20] = 0xff;
    refusal(not_text);
}

/// Any byte of the header may be wrong; whatever still opens must be safe to read in full.
#[test]
fn no_damage_of_a_header_makes_reading_panic() {
    let whole = whole_file();
    for place in 0..600 {
        for mask in [0x01, 0x10, 0x80] {
            let mut bytes = whole.clone();
            bytes[place] ^= mask;
            if let Ok(file) = SafetensorsFile::open("model.safetensors", bytes) {
                for tensor in file.tensors() {
                    let read = file.read(&tensor.name);
                    assert!(read.is_ok() || matches!(read, Err(Error::Container { .. })), "{}", tensor.name);
                }
            }
        }
    }
}

/// The tensors of `llama_mha` after `change`, loaded into the model.
fn load(change: impl FnOnce(&mut BTreeMap<String, Stored>)) -> Result<CausalLm, Error> {
    let bytes = tiny::edited("llama_mha/model/model.safetensors", change);
    let source = Box::new(SafetensorsFile::open("model.safetensors", bytes)?);
    let device = Device::flex();
    let mut weights = CheckpointWeights::new("model.safetensors", vec![source], &device, DType::F32);
    let model = CausalLm::build(&tiny::config("llama_mha/model/config.json"), &mut weights);
    weights.finish().map(|()| model)
}

#[test]
fn all_missing_unexpected_and_misshapen_tensors_are_listed_at_once() {
    let error = load(|tensors| {
        tensors.retain(|name, _| !name.ends_with("q_proj.weight") && name != "model.norm.weight");
        for (_, stored) in tensors.iter_mut().filter(|(name, _)| name.ends_with("gate_proj.weight")) {
            stored.shape.reverse();
        }
        for name in ["3.mlp.up_proj", "0.self_attn.q_norm"] {
            tensors.insert(format!("model.layers.{name}.weight"), Stored::zeros(&[1]));
        }
    })
    .err();
    let layers = |name: &str| (0..3).map(|i| format!("model.layers.{i}.{name}")).collect::<Vec<_>>();
    let mut missing = layers("self_attn.q_proj.weight");
    missing.push("model.norm.weight".into());
    let misshapen = |name: String| Misshapen { name, expected: vec![51, 24], found: vec![24, 51] };
    assert_eq!(
        error,
        Some(Error::Tensors {
            what: "model.safetensors".into(),
            missing,
            unexpected: vec![
                "model.layers.0.self_attn.q_norm.weight".into(),
                "model.layers.3.mlp.up_proj.weight".into()
            ],
            misshapen: layers("mlp.gate_proj.weight").into_iter().map(misshapen).collect(),
        })
    );
}

#[test]
fn weights_that_are_not_finite_or_of_another_kind_are_refused_by_name() {
    const NAME: &str = "model.layers.1.mlp.down_proj.weight";
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = load(|tensors| {
            let stored = tensors.get_mut(NAME).unwrap();
            stored.bytes[400..404].copy_from_slice(&bad.to_le_bytes());
        });
        let error = error.expect_err("a weight that is not finite is refused").to_string();
        assert!(error.contains("not finite") && error.contains(NAME), "{bad}: {error}");
    }
    for dtype in [safetensors::Dtype::I32, safetensors::Dtype::U32] {
        let error = load(|tensors| {
            tensors.get_mut(NAME).unwrap().dtype = dtype;
        });
        let error = error.expect_err("whole numbers are no weights").to_string();
        assert!(error.contains(NAME) && error.contains(&format!("{dtype:?}")), "{error}");
    }
}

#[test]
fn half_precision_weights_that_are_not_finite_are_refused_in_every_target_format() {
    let path = golden("checkpoint_forms/bf16/model.safetensors");
    for (bits, target) in [0x7f80_u16, 0xff80, 0x7fc1]
        .into_iter()
        .flat_map(|bits| [DType::F32, DType::BF16, DType::F16].map(|target| (bits, target)))
    {
        let mut bytes = std::fs::read(&path).unwrap();
        let last = bytes.len() - 2;
        bytes[last..].copy_from_slice(&bits.to_le_bytes());
        let source = Box::new(SafetensorsFile::open("model.safetensors", bytes).unwrap());
        let mut weights = CheckpointWeights::new("model.safetensors", vec![source], &Device::flex(), target);
        CausalLm::build(&tiny::config("llama_mha/model/config.json"), &mut weights);
        let error = weights.finish().unwrap_err().to_string();
        assert!(error.contains("not finite"), "{bits:#x} as {target:?}: {error}");
    }
}

/// A value that f16 cannot hold would become an infinity on the way.
#[test]
fn weights_that_overflow_the_target_format_are_refused() {
    let whole = whole_file();
    let mut bytes = whole.clone();
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&1e6_f32.to_le_bytes());
    for (target, fits) in [(DType::F32, true), (DType::BF16, true), (DType::F16, false)] {
        let source = Box::new(SafetensorsFile::open("model.safetensors", bytes.clone()).unwrap());
        let mut weights = CheckpointWeights::new("model.safetensors", vec![source], &Device::flex(), target);
        CausalLm::build(&tiny::config("llama_mha/model/config.json"), &mut weights);
        assert_eq!(weights.finish().is_ok(), fits, "{target:?}");
    }
}

/// What `touch` in the pickle would leave; tests run in the folder of this package.
const TRACE: &str = "executed-by-a-pickle";

#[test]
fn a_pickle_that_would_run_a_command_does_not_run_it() {
    for form in ["zip.bin", "legacy.bin"] {
        let folder = tempfile::tempdir().unwrap();
        let bytes = std::fs::read(golden("checkpoint_forms/hostile").join(form)).unwrap();
        assert!(bytes.windows(TRACE.len()).any(|window| window == TRACE.as_bytes()), "{form} is hostile");
        std::fs::write(folder.path().join("pytorch_model.bin"), bytes).unwrap();
        let outcome = load_folder(folder.path());
        assert!(!Path::new(TRACE).exists(), "{form}: the command ran");
        let message = outcome.expect_err("the file is no checkpoint");
        println!("{form}: {message}");
        assert!(message.contains("pytorch_model.bin") || message.contains("missing"), "{form}: {message}");
    }
}

/// Hand-written: the command is the first thing in the stream, before anything that looks like a checkpoint.
#[test]
fn a_bare_pickle_that_would_run_a_command_does_not_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    for pickle in [
        format!("cos\nsystem\n(S'touch {}'\ntR.", trace.display()),
        format!("(S'touch {}'\nios\nsystem\n.", trace.display()),
        format!("cposix\nsystem\n(Vtouch {}\ntR.", trace.display()),
    ] {
        std::fs::write(folder.path().join("pytorch_model.bin"), pickle).unwrap();
        let message = load_folder(folder.path()).expect_err("the file is no checkpoint");
        assert!(!trace.exists(), "the command ran");
        assert!(message.contains("pytorch_model.bin"), "{message}");
    }
}

#[test]
fn a_damaged_bin_file_is_an_error_and_no_panic() {
    for form in ["zip", "legacy"] {
        let whole = std::fs::read(golden("checkpoint_forms").join(form).join("pytorch_model.bin")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pytorch_model.bin");
        for length in (0..40).map(|i| i * whole.len() / 40) {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(load_folder(folder.path()).is_err(), "{form} cut at {length}");
        }
        for place in (0..whole.len()).step_by(whole.len() / 150) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            std::fs::write(&path, bytes).unwrap();
            let _either = load_folder(folder.path());
        }
    }
}

fn load_folder(folder: &Path) -> Result<CausalLm, String> {
    let sources: Vec<Box<dyn TensorSource>> = sources(folder).map_err(|e| e.to_string())?;
    let mut weights = CheckpointWeights::new("pytorch_model.bin", sources, &Device::flex(), DType::F32);
    let model = CausalLm::build(&tiny::config("llama_mha/model/config.json"), &mut weights);
    weights.finish().map(|()| model).map_err(|e| e.to_string())
}
