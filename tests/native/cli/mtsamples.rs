//! The shipped recipes on real transcriptions (`shared/data/mtsamples`), with fewer and shorter notes.

use std::fs;
use std::path::PathBuf;

use crate::program::Workshop;

/// The folder of real notes, if it is there.
fn mtsamples() -> Option<PathBuf> {
    let shared = match std::env::var_os("CLINLORA_SHARED") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../shared")),
    };
    let folder = shared.join("data/mtsamples");
    let folder = folder.canonicalize().ok().filter(|folder| folder.is_dir());
    if folder.is_none() {
        println!("skipped: {} is not there", shared.join("data/mtsamples").display());
    }
    folder
}

#[test]
fn a_clinical_adapter_lowers_the_perplexity_of_real_notes_and_a_task_trains_on_top() {
    let Some(data) = mtsamples() else {
        return;
    };
    let workshop = Workshop::empty();
    let recipes = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/recipes"));
    for name in ["base", "clinical", "specialty"] {
        let recipe =
            fs::read_to_string(recipes.join(format!("mtsamples-{name}.toml"))).expect("a shipped recipe");
        let recipe = recipe.replace("../shared/data/mtsamples", data.to_str().expect("UTF-8"));
        workshop.write(&format!("{name}.toml"), recipe);
    }
    // Every fifth note is held out of all training here.
    let text = fs::read_to_string(data.join("notes.jsonl")).expect("notes");
    let part = |held: bool| {
        let lines = text.lines().enumerate().filter(|(i, _)| (i % 5 == 0) == held);
        lines.map(|(_, line)| format!("{line}\n")).collect::<String>()
    };
    workshop.write("train.jsonl", part(false));
    workshop.write("held.jsonl", part(true));

    let shorter = "data.train=train.jsonl max_tokens=48 training.epochs=2";
    workshop
        .run(&format!(
            "pretrain base.toml {shorter} base.scratch.hidden_size=48 base.scratch.num_hidden_layers=2"
        ))
        .ok();
    workshop.run(&format!("pretrain clinical.toml {shorter}")).ok();
    let perplexity = |adapters: &str| {
        let line = format!(
            "perplexity --model runs/mtsamples-base {adapters} --notes held.jsonl --max-tokens 48 --skip-empty --json"
        );
        let figures = workshop.run(&line).ok().json();
        figures["perplexity"].as_f64().expect("a number")
    };
    let (base, adapted) = (perplexity(""), perplexity("--adapter runs/mtsamples-clinical"));
    println!("held-out perplexity: base {base:.1}, with the clinical adapter {adapted:.1}");
    assert!(base < 900.0, "the base has learnt something: {base} of 1024");
    assert!(adapted < base, "{adapted} against {base}");

    workshop.run("finetune specialty.toml max_tokens=48 training.epochs=3 --json").ok();
    let losses = workshop.updates("runs/mtsamples-specialty", "loss");
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    let (first, last) = (mean(&losses[..10]), mean(&losses[losses.len() - 10..]));
    assert!(last < first, "the task trains: {first} to {last}");
    let line = format!(
        "evaluate --model runs/mtsamples-base --adapter runs/mtsamples-clinical --adapter runs/mtsamples-specialty \
         --max-tokens 48 --task {0}/specialty.toml --data {0}/specialty-test.csv --out eval --json",
        data.display()
    );
    let metrics = workshop.run(&line).ok().json();
    println!("AUROC of the shortened run on specialty-test.csv: {}", metrics["auroc"]);
    assert!(metrics["auroc"].is_f64(), "{metrics}");
}
