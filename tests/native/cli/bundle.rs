//! `export`, `predict --bundle` and `inspect` of a bundle: agreement with the model it was made from, and every damage refused.

use std::fs;

use serde_json::Value;

use crate::program::{NOTES, Workshop};

const EXPORT: &str = "export --model base --max-tokens 40 --task MOR=mortality.toml:clinical+downstream";

/// A workshop with a fine-tuned stack.
fn trained() -> Workshop {
    let workshop = Workshop::new();
    workshop.run("finetune downstream.toml").ok();
    workshop
}

/// Score of DIE of every note.
fn scores(workshop: &Workshop, line: &str) -> Vec<f64> {
    let predicted = workshop.run(line).ok().json_lines();
    assert_eq!(predicted.len(), NOTES);
    let score = |(i, line): (usize, &Value)| {
        assert_eq!(line["id"], format!("n{i}"), "the file's order");
        line["scores"]["DIE"].as_f64().expect("a score")
    };
    predicted.iter().enumerate().map(score).collect()
}

fn largest_difference(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

#[test]
fn a_bundle_predicts_as_the_model_it_was_made_from() {
    let workshop = trained();
    let dense = scores(
        &workshop,
        "predict --model base --adapter clinical --adapter downstream --task mortality.toml --notes notes.jsonl --max-tokens 40",
    );
    let dense_short = scores(
        &workshop,
        "predict --model base --adapter clinical --adapter downstream --task mortality.toml --notes notes.jsonl --max-tokens 5",
    );
    for (bits, tolerance) in [(8, 0.02), (4, 0.15)] {
        // Without validation notes nothing is fitted, so probabilities are the model's own.
        let line = format!("{EXPORT} --bits {bits} --test MOR=mortality.csv --out bundle-{bits} --json");
        let manifest = workshop.run(&line).ok().json();
        let predict = format!("predict --bundle bundle-{bits} --task MOR --notes notes.jsonl");
        let all = scores(&workshop, &predict);
        let apart = largest_difference(&all, &dense);
        assert!(apart < tolerance, "{bits} bits: {apart}");
        let stated = manifest["tasks"][0]["agreement"]["max_difference"].as_f64().expect("measured");
        assert!((stated - apart).abs() < 1e-6, "{bits} bits: stated {stated}, found {apart}");
        let [off, clinical] =
            ["off", "clinical"].map(|which| scores(&workshop, &format!("{predict} --adapters {which}")));
        for (a, b) in [(&off, &clinical), (&clinical, &all), (&off, &all)] {
            assert!(largest_difference(a, b) > 1e-3, "{bits} bits: adapters must matter");
        }
        let short = scores(&workshop, &format!("{predict} --max-tokens 5"));
        assert!(largest_difference(&short, &dense_short) < tolerance, "a limit of one's own");
    }
}

#[test]
fn what_is_fitted_is_stated_and_used() {
    let workshop = trained();
    workshop.write("card.toml", "name = \"Test\"\nlicence = \"Apache-2.0\"\nintended_use = \"tests\"\n");
    let line = format!(
        "{EXPORT} --valid MOR=mortality.csv --test MOR=mortality.csv --card card.toml --bits 8 --out bundle --json"
    );
    let manifest = workshop.run(&line).ok().json();
    let on_disk: Value = serde_json::from_slice(&workshop.read("bundle/manifest.json")).expect("JSON");
    assert_eq!(on_disk, manifest);
    let task = &manifest["tasks"][0];
    assert_eq!((&task["stack"][0], &task["clinical"]), (&Value::from("clinical"), &Value::from(1)));
    assert_eq!(task["labels"][1]["description"], "died in hospital");
    let evidence = &task["evidence"];
    assert_eq!(evidence["split"], "test");
    let rates: Vec<f64> =
        evidence["base_rates"].as_array().expect("rates").iter().filter_map(Value::as_f64).collect();
    assert!((rates[1] - 8.0 / 25.0).abs() < 1e-9 && (rates[0] + rates[1] - 1.0).abs() < 1e-8, "{rates:?}");
    let points = &evidence["operating"][0];
    assert_eq!((&points["positives"], &points["negatives"]), (&Value::from(8), &Value::from(17)));
    assert!(task["agreement"]["auroc_dense"].as_f64() > Some(0.5), "{task}");
    assert_eq!(manifest["card"]["licence"], "Apache-2.0");

    // The same notes through `predict` are where the thresholds of the manifest were counted.
    let all = scores(&workshop, "predict --bundle bundle --task MOR --notes notes.jsonl");
    let grid = evidence["grid"].as_array().expect("a grid");
    let half = grid.iter().position(|threshold| threshold.as_f64() == Some(0.5)).expect("on the grid");
    let alerts = all.iter().filter(|p| **p >= 0.5).count() as u64;
    let counted = [&points["true_positives"][half], &points["false_positives"][half]];
    assert_eq!(counted.iter().filter_map(|n| n.as_u64()).sum::<u64>(), alerts);

    let inspected = workshop.run("inspect bundle --json").ok().json();
    assert_eq!(inspected["bundle"]["base_sha256"], manifest["base_sha256"]);
    assert_eq!(
        (&inspected["bundle"]["bits"], &inspected["bundle"]["tasks"][0]),
        (&Value::from(8), &Value::from("MOR"))
    );
}

#[test]
fn adapters_are_exported_alone_for_one_base() {
    let workshop = trained();
    let base = workshop.run("export --model base --base-only --out base-bundle --json").ok().json();
    let line = format!("{EXPORT} --adapters-only --base base-bundle --out adapters --json");
    let adapters = workshop.run(&line).ok().json();
    assert_eq!(adapters["base_sha256"], base["base_sha256"]);
    assert!(adapters.get("base").is_none() && !workshop.exists("adapters/tokenizer.json"), "adapters alone");
    let whole = workshop.run(&format!("{EXPORT} --out whole --json")).ok().json();
    assert_eq!(whole["base_sha256"], base["base_sha256"], "the same base, alone or with adapters");
    let two =
        scores(&workshop, "predict --bundle base-bundle --bundle adapters --task MOR --notes notes.jsonl");
    assert_eq!(two, scores(&workshop, "predict --bundle whole --task MOR --notes notes.jsonl"));

    let predict = |bundles: &str| workshop.run(&format!("predict {bundles} --task MOR --notes notes.jsonl"));
    predict("--bundle adapters").refused(&["adapters", "load that base first"]);
    predict("--bundle base-bundle").refused(&["no task MOR"]);
    workshop.run("export --model base --base-only --bits 8 --out other --json").ok();
    predict("--bundle other --bundle adapters").refused(&["adapters", "are for the base"]);
    workshop.write(
        "base.toml",
        workshop.text("base.toml").replace("out = \"base\"", "out = \"base2\"\nseed = 5"),
    );
    workshop.run("pretrain base.toml").ok();
    workshop
        .run(
            &format!("{EXPORT} --adapters-only --base base-bundle --out again")
                .replace("--model base", "--model base2"),
        )
        .refused(&["not a bundle of the base in base2"]);
    assert!(!workshop.exists("again"), "nothing half-written");
}

#[test]
fn a_damaged_bundle_is_refused_by_name() {
    let workshop = trained();
    workshop.run(&format!("{EXPORT} --out bundle")).ok();
    let predict = || workshop.run("predict --bundle bundle --task MOR --notes notes.jsonl");
    predict().ok();
    for file in ["base-00001.bin", "adapters-00001.bin", "tokenizer.json"] {
        let name = format!("bundle/{file}");
        let whole = workshop.read(&name);
        let mut damaged = whole.clone();
        damaged[whole.len() / 2] ^= 1;
        workshop.write(&name, &damaged);
        predict().refused(&[file, "SHA-256"]);
        workshop.write(&name, &whole[..whole.len() - 1]);
        predict().refused(&[file, "bytes"]);
        fs::remove_file(workshop.file(&name)).expect("removable");
        predict().refused(&[file]);
        workshop.write(&name, &whole);
    }
    let manifest = workshop.text("bundle/manifest.json");
    workshop.write("bundle/manifest.json", &manifest[..manifest.len() / 2]);
    predict().refused(&["manifest.json", "cut short"]);
    workshop.write("bundle/manifest.json", manifest.replacen("\"version\": 1", "\"version\": 7", 1));
    predict().refused(&["manifest.json", "version 7"]);
    workshop.write("bundle/manifest.json", &manifest);
    predict().ok();
}

#[test]
fn an_export_that_cannot_be_is_refused_and_leaves_nothing() {
    let workshop = trained();
    for (line, parts) in [
        ("--task MOR=mortality.toml:clinical --out x", &["no", "classification head"][..]),
        ("--task MOR=mortality.toml --out x", &["TASKFILE"]),
        ("--out x", &["--task"]),
        ("--task MOR=mortality.toml:downstream --valid LOS=mortality.csv --out x", &["no --task LOS"]),
        ("--task A=mortality.toml:downstream --task A=mortality.toml:downstream --out x", &["one name"]),
        ("--task MOR=mortality.toml:downstream --bits 3 --out x", &["bits"]),
        ("--task MOR=mortality.toml:downstream --out base", &["exists"]),
        ("--task MOR=mortality.toml:nowhere --out x", &["nowhere"]),
    ] {
        workshop.run(&format!("export --model base {line}")).refused(parts);
        assert!(!workshop.exists("x"), "{line}");
        assert_eq!(workshop.entries(".", ".clinlora-"), Vec::<String>::new(), "{line}");
    }
}
