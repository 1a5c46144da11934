//! `reproduce table2`: five methods on the notes of a synthetic hospital, continued, refused, and begun anew.

use std::fs;

use serde_json::Value;

use crate::program::{Workshop, note};

/// What a base of two layers and 24 dimensions, and some dozens of notes, ask for instead of the paper's values.
const SMALLER: &str = "max_tokens=40 training.batch_size=5 training.accumulation_steps=1 training.epochs=2 \
    training.learning_rate=3e-2 adaption-prompt.adapter.0.adapter_layers=2 adaption-prompt.adapter.0.adapter_len=4 \
    prefix.adapter.0.virtual_tokens=4 prefix.adapter.0.zero_init=true prompt.adapter.0.virtual_tokens=6 \
    p-tuning.adapter.0.virtual_tokens=4 p-tuning.adapter.0.encoder_hidden_size=8 p-tuning.adapter.0.encoder_layers=1";

/// Each method, with the options `params` counts it by.
const METHODS: [(&str, &str); 5] = [
    ("lora", "--r 16"),
    ("adaption-prompt", "--adapter-len 4 --adapter-layers 2"),
    ("prefix", "--virtual-tokens 4"),
    ("prompt", "--virtual-tokens 6"),
    ("p-tuning", "--virtual-tokens 4 --encoder lstm --encoder-hidden-size 8 --encoder-layers 1"),
];

/// A base, and a folder of notes it has not seen: texts under their splits' names.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    fs::create_dir(workshop.file("notes")).expect("a new folder");
    for (split, notes) in [("train", 25..65), ("valid", 65..70), ("test", 70..90)] {
        let lines = notes.map(|i| serde_json::json!({"id": i, "text": note(i)}).to_string() + "\n");
        workshop.write(&format!("notes/{split}.jsonl"), lines.collect::<String>());
    }
    workshop
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("a number: {value}"))
}

#[test]
fn every_method_lowers_held_out_perplexity_and_a_second_call_trains_nothing() {
    let workshop = Workshop::new();
    workshop.run("cohort --patients 30 --seed 5 --out hospital").ok();
    let prepare = "prepare notes --mimic4-note hospital/mimic-iv-note --max-tokens 40";
    workshop.run(&format!("{prepare} --tokenizer base --out ids")).ok();
    workshop.run(&format!("{prepare} --out texts")).ok();
    let line = format!("reproduce table2 --model base --notes ids --out table {SMALLER}");
    let first = workshop.run(&line).ok();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let prompt = first.stdout.lines().find(|line| line.starts_with("Prompt tuning")).expect("its row");
    assert_eq!(words(prompt)[2], "144", "{}", first.stdout);
    let last = first.stdout.lines().find(|line| line.starts_with("P-tuning")).expect("its row");
    assert!(words(last).ends_with(&words("16,093,696 0.24 2.723 3.271 23:49:31")), "{last}");
    assert!(workshop.text("table/table2.md").contains(" 16,093,696 | 0.24 | 2.723 | 3.271 | 23:49:31 |"));
    assert!(workshop.text("table/table2.csv").contains("\nprompt,144,"));
    assert!(workshop.text("table/table2.tex").contains("Prompt tuning & 144 & "));
    let page = workshop.text("table/table2.html");
    assert!(page.contains("<a href=\"p-tuning/recipe.toml\">seed 1234</a>") && page.contains("id=\"loss\""));

    let table: Value = serde_json::from_slice(&workshop.read("table/table2.json")).unwrap();
    let base = &table["base"];
    let test_notes = workshop.text("texts/test.jsonl").lines().count();
    assert_eq!(base["test"]["notes"], test_notes);
    assert_eq!(base["train"]["notes"], table["train_notes"], "fewer than are sampled");
    let updates = 2 * table["train_notes"].as_u64().unwrap().div_ceil(5);
    assert_eq!(base["test"]["perplexity"], base["test"]["perplexity_after_first_token"]);
    let files = METHODS.map(|(method, _)| {
        let read = |name| workshop.read(&format!("table/{method}/{name}"));
        [read("adapter_model.safetensors"), read("run.jsonl")]
    });
    for (i, (method, options)) in METHODS.iter().enumerate() {
        let row = &table["methods"][i];
        assert_eq!(row["method"], *method);
        for set in ["train", "test"] {
            let of = |figures: &Value| number(&figures[set]["perplexity_after_first_token"]);
            let (with, without) = (of(row), of(base));
            println!("{method}: {set} perplexity {with:.3}, of the base {without:.3}");
            assert!(with < without, "{method}: {set} perplexity {with} against {without}");
        }
        let counts = workshop.run(&format!("params --config base --method {method} {options} --json"));
        let counts = counts.ok().json();
        assert_eq!((&row["trainable"], &row["percent"]), (&counts["trainable"], &counts["percent"]));
        assert_eq!(row["updates"], updates);

        // The same figures from the command for one adapter; the first token of a note is predicted behind a prompt.
        let line = format!(
            "perplexity --model base --adapter table/{method} --notes texts/test.jsonl --max-tokens 40 --json"
        );
        let figures = workshop.run(&line).ok().json();
        for key in ["notes", "tokens", "perplexity", "batch_mean_perplexity"] {
            assert_eq!(row["test"][key], figures[key], "{method}: {key}");
        }
        let more = number(&row["test"]["tokens"]) - number(&base["test"]["tokens"]);
        let is_prompt = ["prompt", "p-tuning"].contains(method);
        assert_eq!(more, if is_prompt { test_notes as f64 } else { 0.0 }, "{method}");
    }

    let second = workshop.run(&format!("{line} --json")).ok();
    assert_eq!(second.json(), table, "times, too, are those of the first call");
    for ((method, _), before) in METHODS.iter().zip(&files) {
        let read = |name| workshop.read(&format!("table/{method}/{name}"));
        let after = [read("adapter_model.safetensors"), read("run.jsonl")];
        assert!(after == *before, "{method}: nothing is trained again");
    }

    // A removed run is trained again, to the same bits; the others stay.
    fs::remove_dir_all(workshop.file("table/prefix")).unwrap();
    workshop.run(&line).ok();
    assert!(workshop.read("table/prefix/adapter_model.safetensors") == files[2][0]);
}

#[test]
fn what_cannot_become_a_table_is_refused_before_anything_is_trained() {
    let workshop = workshop();
    let line = "reproduce table2 --model base --notes notes --out table";
    let refused = |more: &str, parts: &[&str]| {
        workshop.run(&format!("{line} {more}")).refused(parts);
        assert!(!workshop.exists("table"), "nothing half-written: {more}");
    };
    // The paper's 30 layers are more than this base has.
    refused("", &["Adaptation prompt", "the model has 2 layers", "adaption-prompt.adapter.0"]);
    refused("training.epochz=2", &["epochz"]);
    refused("prompt.max_tokens=2", &["a method has its own adapter.0 and training keys"]);
    refused("out=elsewhere", &["--out"]);
    refused("base.path=clinical", &["--model"]);
    refused("adapter.0.alpha=3", &["adaption-prompt, which has no alpha"]);
    refused("lora.adapter.0.method=prefix lora.adapter.0.r=2", &["which has no"]);
    fs::rename(workshop.file("notes/test.jsonl"), workshop.file("notes/later.jsonl")).unwrap();
    refused(SMALLER, &["neither test nor test.jsonl", "prepare notes"]);
    fs::rename(workshop.file("notes/later.jsonl"), workshop.file("notes/test.jsonl")).unwrap();

    // Folders that are no table are neither continued nor, unless this program made them, replaced.
    let into = |out: &str, more: &str| {
        workshop.run(&format!("reproduce table2 --model base --notes notes --out {out} {SMALLER} {more}"))
    };
    into("clinical", "").refused(&["exists", "--overwrite"]);
    into("notes", "--overwrite").refused(&["is not a folder this program made"]);
    into("base", "--overwrite").refused(&["which this command reads"]);
}

#[cfg(unix)]
#[test]
fn a_stopped_command_continues_to_the_same_table() {
    use crate::interruption::{send, start_until};
    use crate::program::Ended;

    let workshop = workshop();
    let line = |out: &str| {
        format!(
            "reproduce table2 --model base --notes notes --out {out} {SMALLER} training.epochs=1 \
             prefix.training.epochs=12 training.checkpoint_minutes=60"
        )
    };
    let whole = workshop.run(&format!("{} --json", line("whole"))).ok().json();

    let child = start_until(&workshop, &line("table"), "table/prefix", 10);
    send(&child, "-TERM");
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("the same command, typed again, continues"), "{}", ended.stderr);
    assert!(!workshop.exists("table/table2.json") && !workshop.exists("table/prompt"));
    let lora = workshop.text("table/lora/run.jsonl");

    let table = workshop.run(&format!("{} --json", line("table"))).ok().json();
    assert_eq!(workshop.text("table/lora/run.jsonl"), lora, "it was finished before");
    assert_eq!(table["base"], whole["base"]);
    for i in 0..METHODS.len() {
        for key in ["method", "updates", "trainable", "train", "test"] {
            assert_eq!(table["methods"][i][key], whole["methods"][i][key]);
        }
    }
    assert_eq!(table["methods"][2]["updates"], 12 * 8);
}

#[test]
fn other_values_need_a_table_begun_anew() {
    let workshop = workshop();
    let line = format!("reproduce table2 --model base --notes notes --out table {SMALLER} training.epochs=1");
    let table = workshop.run(&format!("{line} --json")).ok().json();
    let before = workshop.read("table/table2.md");
    workshop.run(&format!("{line} p-tuning.training.learning_rate=1e-3")).refused(&[
        "table/p-tuning",
        "the recipe has changed",
        "learning_rate",
    ]);
    workshop.run(&format!("{line} --seed 5")).refused(&["table/lora", "seed"]);
    assert_eq!(workshop.read("table/table2.md"), before);

    let anew = workshop.run(&format!("{line} --seed 5 --overwrite --json")).ok().json();
    assert_eq!((&anew["seed"], &anew["base"]), (&Value::from(5), &table["base"]));
    assert_ne!(anew["methods"][0]["test"], table["methods"][0]["test"]);
}
