//! The whole path as a user types it, and the shapes of what scripts read.

use serde_json::{Value, json};

use crate::program::{NOTES, SECRET, Workshop, label};

/// Keys of a JSON object, sorted.
fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<&str> = value.as_object().expect("an object").keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// A row of `predictions.csv`: `id`, `label`, and the score of each label.
type Row = (String, String, Vec<f64>);

/// Header and rows.
fn predictions(workshop: &Workshop, file: &str) -> (Vec<String>, Vec<Row>) {
    let mut reader = csv::Reader::from_path(workshop.file(file)).expect("predictions.csv");
    let header = reader.headers().expect("a header").iter().map(str::to_owned).collect();
    let row = |record: Result<csv::StringRecord, csv::Error>| {
        let record = record.expect("a row");
        let scores = record.iter().skip(2).map(|score| score.parse().expect("a number")).collect();
        (record[0].to_owned(), record[1].to_owned(), scores)
    };
    let rows = reader.records().map(row).collect();
    (header, rows)
}

/// Share of (positive, negative) pairs ranked rightly, ties one half: the definition itself.
fn auroc(rows: &[Row], positive: &str, column: usize) -> f64 {
    let scores = |of_class: bool| -> Vec<f64> {
        let rows = rows.iter().filter(move |row| (row.1 == positive) == of_class);
        rows.map(|row| row.2[column]).collect()
    };
    let (positives, negatives) = (scores(true), scores(false));
    let mut wins = 0.0;
    for p in &positives {
        for n in &negatives {
            wins += if p > n {
                1.0
            } else if p == n {
                0.5
            } else {
                0.0
            };
        }
    }
    wins / (positives.len() * negatives.len()) as f64
}

fn assert_near(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "{what}[{i}]: {a} against {e}");
    }
}

const STACK: &str = "--model base --adapter clinical --adapter downstream";

#[test]
fn a_base_is_made_adapted_fine_tuned_evaluated_and_merged() {
    let workshop = Workshop::with_notes();
    let base = workshop.run("pretrain base.toml --json").ok();
    assert_eq!(keys(&base.json()), ["adapters", "kept_update", "run", "trainable", "updates", "valid"]);
    assert_eq!(base.json()["run"], "base");
    assert!(base.stderr.contains("embed_tokens") && base.stderr.contains("trained"), "{}", base.stderr);
    for file in
        ["config.json", "model.safetensors", "tokenizer.json", "recipe.toml", "run.jsonl", "state.json"]
    {
        assert!(workshop.exists(&format!("base/{file}")), "{file}");
    }

    let clinical = workshop.run("pretrain clinical.toml --json").ok();
    let inspected = workshop.run("inspect clinical --json").ok().json();
    assert_eq!(clinical.json()["trainable"], inspected["adapter"]["parameters"]);
    assert!(clinical.stderr.contains("frozen"), "{}", clinical.stderr);
    let downstream = workshop.run("finetune downstream.toml --json").ok().json();
    assert!(downstream["valid"]["loss"].is_f64(), "{downstream}");
    for file in ["adapter_config.json", "adapter_model.safetensors", "optimizer.safetensors", "task.toml"] {
        assert!(workshop.exists(&format!("downstream/{file}")), "{file}");
    }

    // Evaluation, and its AUROC from its own predictions.
    let line = format!(
        "evaluate {STACK} --max-tokens 40 --task mortality.toml --data mortality.csv --out eval --json"
    );
    let metrics = workshop.run(&line).ok().json();
    let written: Value = serde_json::from_slice(&workshop.read("eval/metrics.json")).expect("JSON");
    assert_eq!(metrics, written);
    let (header, rows) = predictions(&workshop, "eval/predictions.csv");
    assert_eq!(header, ["id", "label", "score_NOT_DIE", "score_DIE"]);
    assert_eq!(rows.len(), NOTES);
    for (i, (id, truth, scores)) in rows.iter().enumerate() {
        assert_eq!((id.as_str(), truth.as_str()), (format!("n{i}").as_str(), label(i)));
        assert!((scores.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{scores:?}");
    }
    let expected = auroc(&rows, "DIE", 1);
    assert_near("AUROC", &[metrics["auroc"].as_f64().expect("a figure")], &[expected], 1e-12);
    assert!(expected > 0.6, "the task is learnt: {expected}");

    // Prediction: one line a note, the same numbers.
    let predict = |model: &str| -> Vec<Vec<f64>> {
        let line = format!("predict {model} --max-tokens 40 --task mortality.toml --notes notes.jsonl");
        let lines = workshop.run(&line).ok().json_lines();
        let scores = |(i, line): (usize, &Value)| {
            assert_eq!(keys(line), ["id", "scores"]);
            assert_eq!(line["id"], format!("n{i}"));
            assert_eq!(keys(&line["scores"]), ["DIE", "NOT_DIE"]);
            ["NOT_DIE", "DIE"].map(|name| line["scores"][name].as_f64().expect("a number")).to_vec()
        };
        lines.iter().enumerate().map(scores).collect()
    };
    let stacked = predict(STACK).concat();
    let from_csv: Vec<f64> = rows.iter().flat_map(|row| row.2.clone()).collect();
    assert_near("predict and evaluate", &stacked, &from_csv, 1e-12);

    // Perplexity.
    let perplexity = |model: &str| {
        let line = format!("perplexity {model} --max-tokens 40 --notes notes.jsonl --json");
        workshop.run(&line).ok().json()
    };
    let of_stack = perplexity(STACK);
    assert_eq!(keys(&of_stack), ["batch_mean_perplexity", "nll", "notes", "perplexity", "tokens"]);
    assert_eq!(of_stack["notes"], NOTES);
    let figure = |value: &Value, key: &str| value[key].as_f64().expect("a number");
    assert_near("exp", &[figure(&of_stack, "perplexity")], &[figure(&of_stack, "nll").exp()], 1e-9);
    let adapted = perplexity("--model base --adapter clinical");
    let bare = perplexity("--model base");
    assert!(figure(&adapted, "perplexity") < figure(&bare, "perplexity"), "{adapted} {bare}");

    // A merged model is the stack; its folder also carries the head.
    let merged = workshop.run(&format!("merge {STACK} --out merged --json")).ok().json();
    assert_eq!(merged, json!({"merged": "merged"}));
    let of_merged = perplexity("--model merged");
    assert_near("merged", &[figure(&of_merged, "nll")], &[figure(&of_stack, "nll")], 1e-5);
    assert_near("merged", &predict("--model merged --adapter merged").concat(), &stacked, 1e-5);
}

#[test]
fn inspect_says_what_a_folder_or_task_is() {
    let workshop = Workshop::new();
    let base = workshop.run("inspect base --json").ok().json();
    assert_eq!(keys(&base), ["base", "run"]);
    assert_eq!(base["base"]["layers"], 2);
    assert_eq!(base["base"]["vocabulary"], base["base"]["tokenizer_tokens"]);
    assert_eq!(base["run"]["updates"], workshop.updates("base", "step").len());
    let adapter = workshop.run("inspect clinical --json").ok().json();
    assert_eq!(keys(&adapter), ["adapter", "run"]);
    assert_eq!(adapter["adapter"]["r"], 3);
    assert_eq!(adapter["adapter"]["alpha"], 5.0);
    assert_eq!(adapter["adapter"]["method"], "lora");
    let task = workshop.run("inspect mortality.toml --json").ok().json();
    assert_eq!(task["task"]["labels"], 2);
    let words = workshop.run("inspect clinical").ok().stdout;
    assert!(words.starts_with("adapter\n") && words.contains("  r: 3\n"), "{words}");
    workshop.run("inspect notes.jsonl").refused(&["notes.jsonl", "task"]);
    workshop.run("inspect nowhere").refused(&["nowhere", "neither a base"]);
}

#[test]
fn params_counts_without_weights() {
    let workshop = Workshop::new();
    let seven = workshop.run("params --config llama-7b --method lora --r 16 --json").ok().json();
    assert_eq!(keys(&seven), ["percent", "total", "trainable"]);
    assert_eq!(seven["trainable"], 8_388_608);
    assert_eq!(seven["total"], 6_738_415_616_u64 + 8_388_608);
    let line = "params --config base --method lora --r 3 --target-modules q_proj,v_proj,down_proj";
    let counted = workshop.run(line).ok().json();
    let inspected = workshop.run("inspect clinical --json").ok().json();
    assert_eq!(counted["trainable"], inspected["adapter"]["parameters"]);
    workshop
        .run("params --config base --method lora --target-modules query")
        .refused(&["query", "matches no layer"]);
}

#[test]
fn every_command_shows_an_example_and_refuses_what_it_does_not_know() {
    let workshop = Workshop::empty();
    let help = workshop.run("--help").ok().stdout;
    assert!(help.contains("Exit status: 0 done, 2 bad usage or input"), "{help}");
    let commands = [
        "demo",
        "pretrain",
        "finetune",
        "evaluate",
        "predict",
        "perplexity",
        "params",
        "plan",
        "search",
        "export",
        "merge",
        "inspect",
        "runs",
        "audit",
    ];
    for command in commands {
        assert!(help.contains(command), "{command}");
        let help = workshop.run(&format!("{command} --help")).ok().stdout;
        assert!(
            help.contains(&format!(":\n  clinlora {command}")) && help.contains("Example"),
            "{command}: {help}"
        );
        assert!(help.contains("--json") && help.contains("--device") && help.contains("--seed"), "{help}");
        workshop.run(&format!("{command} --no-such-option")).refused(&["--no-such-option", "Usage"]);
    }
    workshop.run("").refused(&["Usage"]);
    workshop.run("conquer").refused(&["conquer"]);
}

#[test]
fn the_seed_decides_every_byte() {
    let workshop = Workshop::with_notes();
    for (out, seed) in [("a", 7), ("b", 7), ("c", 8)] {
        workshop.run(&format!("pretrain base.toml out={out} training.epochs=2 --seed {seed}")).ok();
        workshop.write(
            "on.toml",
            workshop.text("downstream.toml").replace("path = \"base\"", &format!("path = \"{out}\"")),
        );
        let overrides = format!("out={out}-down adapter.0.trainable=true training.epochs=2");
        let text = workshop
            .text("on.toml")
            .replace("path = \"clinical\"\ntrainable = false", "r = 2\nalpha = 3\ndropout = 0.2");
        workshop.write("on.toml", text);
        workshop.run(&format!("finetune on.toml {overrides} --seed {seed}")).ok();
    }
    for file in
        ["/model.safetensors", "/tokenizer.json", "/optimizer.safetensors", "-down/adapter_model.safetensors"]
    {
        assert_eq!(workshop.read(&format!("a{file}")), workshop.read(&format!("b{file}")), "{file}");
    }
    for file in ["/model.safetensors", "-down/adapter_model.safetensors"] {
        assert_ne!(workshop.read(&format!("a{file}")), workshop.read(&format!("c{file}")), "{file}");
    }
}

#[test]
fn full_fine_tuning_and_a_head_alone_can_be_used_like_a_stack() {
    let workshop = Workshop::new();
    let downstream = workshop.text("downstream.toml");
    let without_adapters = {
        let start = downstream.find("[[adapter]]").expect("adapters");
        let end = downstream.find("[training]").expect("training");
        format!("{}{}", &downstream[..start], &downstream[end..])
    };
    workshop.write("head.toml", &without_adapters);
    workshop.run("finetune head.toml out=head").ok();
    workshop.run("finetune head.toml out=full method=full").ok();
    for (model, adapter) in [("base", "head"), ("full", "full")] {
        let line = format!(
            "evaluate --model {model} --adapter {adapter} --max-tokens 40 --task mortality.toml --data mortality.csv \
             --out eval-{adapter} --json"
        );
        let metrics = workshop.run(&line).ok().json();
        assert!(metrics["loss"].is_f64(), "{metrics}");
    }
    workshop
        .run("predict --model base --adapter clinical --task mortality.toml --notes notes.jsonl")
        .refused(&["classification head", "finetune"]);
}

#[cfg(unix)]
#[test]
fn a_reader_that_has_had_enough_is_no_failure() {
    let workshop = Workshop::new();
    let mut child =
        workshop.command("perplexity --model base --notes notes.jsonl --json").spawn().expect("starts");
    drop(child.stdout.take());
    let ended = crate::program::Ended::of(child.wait_with_output().expect("ends"));
    assert_eq!((ended.code, ended.stderr.contains("error")), (Some(0), false), "{}", ended.stderr);
    assert!(!ended.stderr.contains(SECRET));
}
