//! Bundles of a tiny model: what is read back, and every defect of a manifest by name.

use std::collections::BTreeMap;

use burn::tensor::{DType, Device};
use serde_json::{Value, json};

use super::*;
use crate::probability::Calibrator;
use crate::task::{Label, TaskKind};
use crate::weights::RandomWeights;

/// A bundle of one adapter and one task on a base of two layers, in shards of 8 KiB.
pub(crate) fn tiny(bits: Bits) -> (Manifest, Vec<Vec<u8>>) {
    let config = LlamaConfig { head_dim: 6, ..LlamaConfig::preset(131, 36, 50, 2, 6, 2) };
    let mut shards = Vec::new();
    let store = |_: &str, bytes: &[u8]| -> Result<(), Error> {
        shards.push(bytes.to_vec());
        Ok(())
    };
    let mut writer = ShardWriter::new(store).with_shard_bytes(1 << 13);
    let device = Device::flex();
    let mut weights = RandomWeights::new(3, &device, DType::F32);
    let tensors =
        writer.add_decoder(&config, bits, &mut weights, &BTreeMap::new(), |_, _| {}).expect("packs");
    writer.begin("adapters").expect("stores");
    let mut add = |name: &str, shape: [usize; 2], step: f32| {
        let values: Vec<f32> =
            (0..shape[0] * shape[1]).map(|i| step * ((i * 37 % 101) as f32 / 50.0 - 1.0)).collect();
        let bytes = encode(&values, &shape, Format::F16).expect("finite");
        writer.add(name, &shape, Format::F16, &bytes).expect("stores")
    };
    let adapter = |name: &str, tensors: Vec<BundleTensor>| Adapter {
        name: name.to_owned(),
        sha256: sha256(name.as_bytes()),
        r: 3,
        scale: 1.5,
        tensors,
    };
    let site = |site: &str, half: &str| format!("model.layers.{site}.lora_{half}.weight");
    let clinical = vec![
        add(&site("0.self_attn.q_proj", "A"), [3, 36], 0.5),
        add(&site("0.self_attn.q_proj", "B"), [36, 3], 0.5),
        add(&site("1.mlp.down_proj", "A"), [3, 50], 0.5),
        add(&site("1.mlp.down_proj", "B"), [36, 3], 0.5),
    ];
    let own = vec![
        add(&site("1.self_attn.v_proj", "A"), [3, 36], 0.7),
        add(&site("1.self_attn.v_proj", "B"), [12, 3], 0.7),
    ];
    let task = |name: &str, kind, labels: &[&str], stack: &[&str], head| BundleTask {
        name: name.to_owned(),
        title: String::new(),
        kind,
        labels: labels.iter().map(|l| Label { name: (*l).to_owned(), description: String::new() }).collect(),
        max_tokens: 128,
        stack: stack.iter().map(|name| (*name).to_owned()).collect(),
        clinical: 1,
        head,
        calibration: Calibrator::None,
        evidence: None,
        agreement: Agreement {
            sample: "random token ids".to_owned(),
            notes: 1,
            max_difference: 0.0,
            mean_difference: 0.0,
            auroc_dense: None,
            auroc_packed: None,
        },
    };
    let death = add("MOR.score.weight", [2, 36], 1.0);
    let codes = add("DIAG.score.weight", [3, 36], -1.0);
    let base = Base {
        bits,
        config: serde_json::from_str(&config.to_json()).expect("JSON"),
        tokenizer: File { file: "tokenizer.json".to_owned(), bytes: 2, sha256: sha256(b"{}") },
        tensors,
    };
    let mut manifest = Manifest {
        format: FORMAT.to_owned(),
        version: VERSION,
        generator: "a test".to_owned(),
        base_sha256: String::new(),
        base: Some(base),
        shards: writer.finish().expect("stores"),
        adapters: vec![adapter("clinical", clinical), adapter("own", own)],
        tasks: vec![
            task("MOR", TaskKind::Binary, &["0", "1"], &["clinical", "own"], death),
            task("DIAG", TaskKind::Multilabel, &["401", "V45", "E88"], &["clinical"], codes),
        ],
        card: ModelCard::default(),
    };
    manifest.base_sha256 = manifest.base_hash().expect("it has a base");
    (manifest, shards)
}

fn json_of(manifest: &Manifest) -> Value {
    serde_json::to_value(manifest).expect("a manifest is JSON")
}

fn refusal(value: &Value) -> String {
    Bundle::parse(value.to_string().as_bytes()).expect_err("a defect").to_string()
}

#[test]
fn a_manifest_is_read_as_it_was_written() {
    let (manifest, shards) = tiny(Bits::Four);
    let bytes = manifest.to_json().expect("valid");
    let bundle = Bundle::parse(&bytes).expect("its own bytes");
    assert_eq!(*bundle.manifest(), manifest);
    assert!(shards.len() > 4, "the base lies in several shards: {}", shards.len());
    for (place, shard) in shards.iter().enumerate() {
        manifest.verify_shard(place, shard).expect("the bytes that were written");
        let mut damaged = shard.clone();
        damaged[shard.len() / 2] ^= 4;
        let error = manifest.verify_shard(place, &damaged).expect_err("one bit").to_string();
        assert!(error.contains(&manifest.shards[place].file) && error.contains("SHA-256"), "{error}");
        let error = manifest.verify_shard(place, &shard[1..]).expect_err("a byte less").to_string();
        assert!(error.contains("bytes"), "{error}");
    }
}

#[test]
fn rows_of_the_embedding_are_read_one_by_one_across_shards() {
    let (manifest, shards) = tiny(Bits::Eight);
    let base = manifest.base.as_ref().expect("a base");
    let table = &base.tensors[0];
    assert!((table.name.as_str(), table.segments.len() > 1) == (EMBEDDING, true), "{table:?}");
    let mut rows = Vec::new();
    for row in [0, 1, 130, 57] {
        table.read_row(&shards, row, &mut rows).expect("in the table");
    }
    let mut all = RandomWeights::new(3, &Device::flex(), DType::F32);
    let dense = crate::weights::Weights::tensor::<2>(
        &mut all,
        EMBEDDING,
        [131, 36],
        crate::weights::Init::Normal(0.02),
    );
    let dense = dense.into_data_as::<f32>();
    let dense = dense.as_slice::<f32>().expect("f32");
    for (place, row) in [0_usize, 1, 130, 57].into_iter().enumerate() {
        for (read, value) in rows[place * 36..][..36].iter().zip(&dense[row * 36..]) {
            assert!((read - value).abs() < 3e-4, "row {row}: {read} and {value}");
        }
    }
    assert!(table.read_row(&shards, 131, &mut rows).is_err());
}

#[test]
fn a_manifest_cut_short_anywhere_is_refused() {
    let bytes = tiny(Bits::Four).0.to_json().expect("valid");
    for length in (0..bytes.len() - 1).step_by(97) {
        let error = Bundle::parse(&bytes[..length]).expect_err("half a manifest").to_string();
        assert!(error.contains("cut short"), "{length}: {error}");
    }
}

#[test]
fn defects_of_a_manifest_are_refused_by_name() {
    let valid = json_of(&tiny(Bits::Four).0);
    Bundle::parse(valid.to_string().as_bytes()).expect("no defect yet");
    let segment = "/base/tensors/2/segments/0";
    let at = |tensor: usize, key: &str| {
        valid.pointer(&format!("/base/tensors/{tensor}/segments/0/{key}")).expect("a segment").clone()
    };
    let beside =
        (3..9).find(|tensor| at(*tensor, "shard") == at(tensor - 1, "shard")).expect("two in one shard");
    let (second, first_offset) = (format!("/base/tensors/{beside}/segments/0"), at(beside - 1, "offset"));
    let cases: Vec<(String, Value, &str)> = vec![
        ("/version".into(), json!(2), "version 2"),
        ("/format".into(), json!("zip"), "format"),
        ("/base_sha256".into(), json!("0".repeat(64)), "base_sha256"),
        ("/base_sha256".into(), json!("xyz"), "base_sha256"),
        ("/shards/0/sha256".into(), json!("ABC"), "sha256"),
        ("/shards/0/bytes".into(), json!((16 << 20) + 1), "at most"),
        ("/shards/0/bytes".into(), json!(16), "do not lie within"),
        ("/shards/0/file".into(), json!("../secret"), "name"),
        ("/shards/1/file".into(), valid["shards"][0]["file"].clone(), "twice"),
        (format!("{segment}/offset"), json!(u64::MAX - 3), "do not lie within"),
        (format!("{segment}/offset"), json!(-4), "damaged"),
        (format!("{segment}/shard"), json!(999), "no shard 999"),
        (format!("{segment}/bytes"), json!(0), "do not lie within"),
        (format!("{segment}/bytes"), json!(8), "its segments have"),
        (format!("{second}/offset"), first_offset, "overlap"),
        ("/base/tensors/2/shape".into(), json!([0, 36]), "dimension"),
        ("/base/tensors/2/shape".into(), json!([u64::MAX, u64::MAX]), "dimension"),
        ("/base/tensors/2/shape".into(), json!([36]), "shape"),
        ("/base/tensors/2/name".into(), json!("model.other"), "model.other"),
        ("/base/bits".into(), json!(3), "3 bits"),
        ("/base/config/head_dim".into(), json!(1 << 24), "no program could hold"),
        ("/base/config/model_type".into(), json!("gpt2"), "gpt2"),
        ("/adapters/1/name".into(), json!("clinical"), "stands twice"),
        ("/adapters/0/r".into(), json!(4), "lora_A"),
        (
            "/adapters/0/tensors/0/name".into(),
            json!("model.layers.9.self_attn.q_proj.lora_A.weight"),
            "layers.9",
        ),
        ("/tasks/0/stack/0".into(), json!("elsewhere"), "elsewhere"),
        ("/tasks/0/clinical".into(), json!(3), "clinical = 3"),
        ("/tasks/1/name".into(), json!("MOR"), "stands twice"),
        ("/tasks/0/labels".into(), json!([{"name": "0"}]), "labels"),
        ("/tasks/0/calibration".into(), json!({"kind": "temperature", "temperature": -1.0}), "temperature"),
        ("/tasks/0/extra".into(), json!(1), "extra"),
    ];
    for (pointer, value, named) in cases {
        let mut changed = valid.clone();
        match changed.pointer_mut(&pointer) {
            Some(place) => *place = value,
            None => {
                let (parent, key) = pointer.rsplit_once('/').expect("a path");
                changed.pointer_mut(parent).expect("a parent")[key] = value;
            }
        }
        // The base's own hash is put right, so that the defect itself must be found.
        if (pointer.starts_with("/base/") || pointer.starts_with("/shards/"))
            && let Ok(mut manifest) = serde_json::from_value::<Manifest>(changed.clone())
        {
            if let Some(hash) = manifest.base_hash() {
                manifest.base_sha256 = hash;
            }
            changed = json_of(&manifest);
        }
        let error = refusal(&changed);
        assert!(error.contains(named), "{pointer}: {error}");
    }
}

#[test]
fn a_base_that_was_changed_is_no_longer_that_base() {
    let mut changed = json_of(&tiny(Bits::Four).0);
    changed["base"]["config"]["rms_norm_eps"] = json!(1e-5);
    let error = refusal(&changed);
    assert!(error.contains("base_sha256"), "{error}");
}
