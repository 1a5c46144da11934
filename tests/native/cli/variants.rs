//! The six downstream variants on every clinical adapter, rates of their own, and the switches of the authors' code.

use std::collections::BTreeMap;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::program::{NOTES, Workshop};

/// Clinical adapters of every method on the workshop's base of two layers.
const CLINICAL: [(&str, &str); 6] = [
    ("lora", "r = 3\nalpha = 5"),
    ("adaption-prompt", "adapter_len = 4\nadapter_layers = 2"),
    ("prefix", "virtual_tokens = 3"),
    ("prefix", "virtual_tokens = 3\nprojection = true\nencoder_hidden_size = 8"),
    ("prompt", "virtual_tokens = 6"),
    ("p-tuning", "virtual_tokens = 4\nencoder_hidden_size = 6\nencoder_layers = 2"),
];

/// The head of two labels on 24 inputs.
const HEAD: u64 = 48;
/// A LoRA of rank 2 on queries (24 to 24) and values (24 to 12) of two layers.
const DOWNSTREAM: u64 = 2 * 2 * (48 + 36);

/// A recipe of the workshop's task with these adapters, some updates long.
fn recipe(out: &str, adapters: &str) -> String {
    format!(
        "out = \"{out}\"\nmax_tokens = 40\ntask = \"mortality.toml\"\n\n[base]\npath = \"base\"\n\n[data]\n\
         train = \"mortality.csv\"\nvalid = \"mortality.csv\"\n{adapters}\n[training]\nepochs = 2\nbatch_size = 10\n\
         learning_rate = 1e-2\n"
    )
}

fn clinical(path: &str, trainable: bool) -> String {
    format!("\n[[adapter]]\nname = \"clinical\"\npath = \"{path}\"\ntrainable = {trainable}\n")
}

const FRESH: &str = "\n[[adapter]]\nname = \"downstream\"\nr = 2\nalpha = 3\n";

/// Every f32 of a safetensors file, by name.
fn tensors(bytes: &[u8]) -> BTreeMap<String, Vec<f32>> {
    let file = SafeTensors::deserialize(bytes).expect("a whole file");
    let floats = |data: &[u8]| -> Vec<f32> {
        data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
    };
    file.iter().map(|(name, view)| (name.to_owned(), floats(view.data()))).collect()
}

/// Probabilities of death by the adapters of a finished run.
fn deaths(workshop: &Workshop, outcome: &Value, notes: &str) -> Vec<f64> {
    let adapters = outcome["adapters"].as_array().expect("folders");
    let adapters: Vec<&str> = adapters.iter().map(|path| path.as_str().expect("a path")).collect();
    let line =
        format!("--model base --adapter {} --notes {notes} --max-tokens 40", adapters.join(" --adapter "));
    predict(workshop, &line)
}

/// Probabilities of death by `predict`.
fn predict(workshop: &Workshop, model_and_notes: &str) -> Vec<f64> {
    let line = format!("predict --task mortality.toml {model_and_notes}");
    let lines = workshop.run(&line).ok().json_lines();
    lines.iter().map(|line| line["scores"]["DIE"].as_f64().expect("a number")).collect()
}

/// Longer than any note of the workshop, which are of many lengths.
const WHOLE: &str = "--max-tokens 200";

fn assert_near(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "{what}[{i}]: {a} against {e}");
    }
}

#[test]
fn all_six_variants_train_what_they_say_on_a_clinical_adapter_of_any_method() {
    let workshop = Workshop::new();
    let finetune = |out: &str, adapters: &str| {
        workshop.write("recipe.toml", recipe(out, adapters));
        let outcome = workshop.run("finetune recipe.toml --json").ok().json();
        assert_eq!(deaths(&workshop, &outcome, "notes.jsonl").len(), NOTES, "{out}");
        outcome
    };
    let head = finetune("head", "");
    assert_eq!((&head["trainable"], &head["adapters"]), (&HEAD.into(), &serde_json::json!(["head"])));
    let lora = finetune("lora", FRESH);
    assert_eq!(
        (&lora["trainable"], &lora["adapters"]),
        (&(HEAD + DOWNSTREAM).into(), &serde_json::json!(["lora"]))
    );

    for (i, (method, keys)) in CLINICAL.iter().enumerate() {
        let folder = format!("c{i}");
        workshop.write(
            "clinical-recipe.toml",
            format!(
                "out = \"{folder}\"\nmax_tokens = 40\n\n[base]\npath = \"base\"\n\n[data]\ntrain = \"notes.jsonl\"\n\n\
                 [[adapter]]\nname = \"clinical\"\nmethod = \"{method}\"\n{keys}\n\n[training]\nepochs = 1\n\
                 batch_size = 5\nlearning_rate = 2e-2\n"
            ),
        );
        let values = workshop.run("pretrain clinical-recipe.toml --json").ok().json()["trainable"].as_u64();
        let values = values.expect("a count");
        let before = workshop.read(&format!("{folder}/adapter_model.safetensors"));
        for trainable in [false, true] {
            for downstream in [false, true] {
                let out = format!("d{i}-{trainable}-{downstream}");
                let fresh = if downstream { FRESH } else { "" };
                let outcome = finetune(&out, &format!("{}{fresh}", clinical(&folder, trainable)));
                let expected =
                    HEAD + if trainable { values } else { 0 } + if downstream { DOWNSTREAM } else { 0 };
                assert_eq!(outcome["trainable"], expected, "{method} {out}");
                let adapters = match (trainable, downstream) {
                    (false, _) => vec![folder.clone(), out.clone()],
                    (true, false) => vec![out.clone()],
                    (true, true) => vec![format!("{out}/clinical"), out.clone()],
                };
                assert_eq!(outcome["adapters"], serde_json::json!(adapters), "{method} {out}");
                if trainable {
                    let after = workshop.read(&format!("{}/adapter_model.safetensors", adapters[0]));
                    let (before, after) = (tensors(&before), tensors(&after));
                    let moved = before.iter().any(|(name, values)| after.get(name) != Some(values));
                    assert!(moved, "{method} {out}: the clinical adapter learns");
                }
            }
        }
        assert_eq!(
            workshop.read(&format!("{folder}/adapter_model.safetensors")),
            before,
            "{method}: never written"
        );
    }
}

#[test]
fn adapters_and_head_learn_at_rates_of_their_own() {
    let workshop = Workshop::new();
    let adapters = format!("{}{FRESH}", clinical("clinical", true));
    workshop.write("recipe.toml", recipe("unused", &adapters));
    // One update by AdamW without decay moves every value by its rate, times nearly one.
    let run = |out: &str, more: &str| {
        let line = format!(
            "finetune recipe.toml out={out} training.epochs=1 training.batch_size=25 training.schedule=constant \
             training.weight_decay=0 training.learning_rate=1e-3 {more}"
        );
        workshop.run(&line).ok();
        let read = |folder: &str| tensors(&workshop.read(&format!("{folder}/adapter_model.safetensors")));
        (read(out), read(&format!("{out}/clinical")))
    };
    let (same, same_clinical) = run("same", "");
    let (own, own_clinical) = run("own", "adapter.1.learning_rate=3e-3 training.head_learning_rate=5e-4");
    let (still, _) = run("still", "training.head_learning_rate=1e-30");
    assert_eq!(same_clinical, own_clinical, "whoever has no rate of its own learns at the run's");
    let mut compared = 0;
    for (name, values) in &same {
        for (i, value) in values.iter().enumerate() {
            let (own, still) = (own[name][i], still[name][i]);
            if name.contains("lora_B") && *value != 0.0 {
                assert!((own / value - 3.0).abs() < 1e-3, "{name}: {own} against {value}");
                compared += 1;
            } else if name.contains("score") {
                assert!(
                    ((own - still) / (value - still) - 0.5).abs() < 1e-3,
                    "{name}: {own} {value} {still}"
                );
                compared += 1;
            }
        }
    }
    assert!(compared > 50, "{compared}");
    workshop
        .run("finetune recipe.toml out=x adapter.0.trainable=false adapter.0.learning_rate=1e-3")
        .refused(&["clinical", "frozen", "learning_rate"]);
}

#[test]
fn an_inert_second_adapter_is_counted_and_changes_nothing() {
    let workshop = Workshop::new();
    let finetune = |out: &str, adapters: &str| {
        workshop.write("recipe.toml", recipe(out, adapters));
        workshop.run("finetune recipe.toml --json").ok().json()
    };
    for trainable in [false, true] {
        let below = clinical("clinical", trainable);
        let alone = finetune(&format!("alone-{trainable}"), &below);
        let out = format!("inert-{trainable}");
        let inert = finetune(&out, &format!("{below}{FRESH}active = false\n"));
        let counts = [&inert, &alone].map(|outcome| outcome["trainable"].as_u64().expect("a count"));
        assert_eq!(counts[0], counts[1] + DOWNSTREAM, "the printed count has it");
        assert_eq!(inert["valid"], alone["valid"]);
        assert_eq!(
            inert["adapters"].as_array().map(Vec::len),
            alone["adapters"].as_array().map(Vec::len),
            "what to load again leaves it out"
        );
        let both = [&inert, &alone].map(|outcome| deaths(&workshop, outcome, "notes.jsonl"));
        assert_eq!(both[0], both[1], "bit for bit");
        let kept = tensors(&workshop.read(&format!("{out}/downstream/adapter_model.safetensors")));
        let of_b: Vec<_> = kept.iter().filter(|(name, _)| name.contains("lora_B")).collect();
        assert!(of_b.len() == 4 && of_b.iter().all(|(_, values)| values.iter().all(|v| *v == 0.0)));
        // An active one is not what is alone.
        let active = finetune(&format!("active-{trainable}"), &format!("{below}{FRESH}"));
        assert_ne!(active["valid"], alone["valid"]);
    }
}

#[test]
fn the_place_a_head_reads_is_kept_with_it() {
    let workshop = Workshop::new();
    workshop.write("recipe.toml", recipe("last", &clinical("clinical", false)));
    let finetune = |out: &str, pooling: &str| {
        let line = format!("finetune recipe.toml out={out} pooling={pooling} max_tokens=200 --json");
        let outcome = workshop.run(&line).ok().json();
        let stack = format!("--model base --adapter clinical --adapter {out}");
        (outcome, predict(&workshop, &format!("{stack} --notes notes.jsonl {WHOLE}")))
    };
    let ((_, of_last), (padded, of_padded)) = (finetune("last", "last"), finetune("padded", "last_position"));
    assert!(of_last.iter().zip(&of_padded).any(|(a, b)| (a - b).abs() > 1e-4), "{of_last:?} {of_padded:?}");
    // What validation saw is what evaluation sees: the folder says where its head reads.
    let stack = "--model base --adapter clinical --adapter padded";
    let line =
        format!("evaluate {stack} {WHOLE} --task mortality.toml --data mortality.csv --out eval --json");
    let metrics = workshop.run(&line).ok().json();
    let (seen, valid) =
        (metrics["loss"].as_f64().expect("a figure"), padded["valid"]["loss"].as_f64().expect("one"));
    assert_near("loss", &[seen], &[valid], 1e-6);
    let one: String = workshop.text("notes.jsonl").lines().take(1).map(|line| format!("{line}\n")).collect();
    workshop.write("one.jsonl", one);
    assert_near(
        "alone",
        &predict(&workshop, &format!("{stack} --notes one.jsonl {WHOLE}")),
        &of_padded[..1],
        1e-6,
    );
    workshop.run("merge --model base --adapter clinical --adapter padded --out merged").ok();
    let merged = predict(&workshop, &format!("--model merged --adapter merged --notes notes.jsonl {WHOLE}"));
    assert_near("merged", &merged, &of_padded, 1e-5);
}

#[test]
fn company_changes_no_number_of_a_note() {
    let workshop = Workshop::new();
    workshop.write("recipe.toml", recipe("run", &format!("{}{FRESH}", clinical("clinical", false))));
    workshop.run("finetune recipe.toml max_tokens=200").ok();
    let scores = |notes: &str| {
        let stack = "--model base --adapter clinical --adapter run";
        predict(&workshop, &format!("{stack} --notes {notes} {WHOLE}"))
    };
    let all = scores("notes.jsonl");
    let notes = workshop.text("notes.jsonl");
    let lines: Vec<&str> = notes.lines().collect();
    for size in [1, 7, 23] {
        for (i, part) in lines.chunks(size).enumerate().take(4) {
            workshop.write("part.jsonl", part.iter().map(|line| format!("{line}\n")).collect::<String>());
            let expected = &all[i * size..i * size + part.len()];
            assert_near("scores", &scores("part.jsonl"), expected, 1e-6);
        }
    }
    let nll = |size: usize| {
        let line = format!("perplexity --model base --notes notes.jsonl {WHOLE} --batch-size {size} --json");
        workshop.run(&line).ok().json()["nll"].as_f64().expect("a number")
    };
    for size in [1, 3, 7, 40] {
        assert_near("nll", &[nll(size)], &[nll(10)], 1e-12);
    }
}

#[test]
fn validation_ranks_the_labels_of_a_multilabel_task_as_the_recipe_says() {
    let workshop = Workshop::new();
    workshop.write(
        "codes.toml",
        "name = \"codes\"\nkind = \"multilabel\"\nlabels = [{ name = \"a\" }, { name = \"b\" }, { name = \"c\" }]\n",
    );
    let notes = workshop.text("mortality.csv");
    let mut reader = csv::Reader::from_reader(notes.as_bytes());
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(["id", "text", "label"]).expect("in memory");
    for (i, record) in reader.records().enumerate() {
        let record = record.expect("a row");
        let codes = ["a", "a,b", "c", "", "b,c", "a,c"][(i * i + i / 4) % 6];
        writer.write_record([&record[0], &record[1], codes]).expect("in memory");
    }
    workshop.write("codes.csv", writer.into_inner().expect("in memory"));
    workshop.write("recipe.toml", recipe("unused", "").replace("mortality", "codes"));
    let mut figures = Vec::new();
    for (scores, key) in [("sigmoid", "auroc"), ("softmax", "auroc_softmax")] {
        let line = format!("finetune recipe.toml out={scores} scores={scores} training.select=last --json");
        let valid = workshop.run(&line).ok().json()["valid"]["auroc"].as_f64().expect("a figure");
        let line = format!(
            "evaluate --model base --adapter {scores} --max-tokens 40 --task codes.toml --data codes.csv --out e-{scores} \
             --json"
        );
        let metrics = workshop.run(&line).ok().json();
        assert_near(key, &[valid], &[metrics[key].as_f64().expect("a figure")], 1e-9);
        figures.push(valid);
    }
    assert_ne!(figures[0], figures[1], "two ways to rank");
}
