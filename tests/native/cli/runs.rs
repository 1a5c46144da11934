//! `clinlora runs`: what is running, finished, interrupted or diverged, and which is best; and TensorBoard's files.

use serde_json::Value;

use crate::event_files::scalars;
use crate::interruption::{send, start_until};
use crate::program::Workshop;

#[test]
fn runs_are_told_apart_and_compared() {
    let workshop = Workshop::new();
    for (out, rate) in [("head-a", "1e-5"), ("head-b", "2e-2")] {
        workshop
            .run(&format!(
                "finetune downstream.toml training.epochs=3 training.learning_rate={rate} out=runs/{out}"
            ))
            .ok();
    }
    let wild = "pretrain clinical.toml out=runs/wild training.learning_rate=1e6 training.schedule=constant training.epochs=20";
    assert_eq!(workshop.run(wild).code, Some(1));
    let long = "pretrain clinical.toml training.epochs=80 out=runs/";
    let mut killed = start_until(&workshop, &format!("{long}killed"), "runs/killed", 3);
    killed.kill().expect("SIGKILL");
    killed.wait().expect("killed");
    let running = start_until(&workshop, &format!("{long}running"), "runs/running", 3);

    let list = || workshop.run("runs runs --json").ok().json()["runs"].as_array().expect("runs").clone();
    let runs = list();
    let of = |name: &str| -> &Value { runs.iter().find(|run| run["run"] == name).expect("listed") };
    for (name, state) in [
        ("head-a", "finished"),
        ("head-b", "finished"),
        ("wild", "diverged"),
        ("killed", "interrupted"),
        ("running", "running"),
    ] {
        assert_eq!(of(name)["state"], state, "{name}");
    }
    assert!(of("running")["held_by"].as_str().expect("a holder").contains(&running.id().to_string()));
    assert_eq!(of("head-b")["learning_rate"], 2e-2);
    assert_eq!(of("head-b")["task"], "mortality");
    assert_eq!(of("head-b")["adapters"], "clinical (frozen) + downstream lora r=2");
    assert_eq!(of("head-b")["updates"], 12);
    let best = workshop
        .log("runs/head-b")
        .iter()
        .filter_map(|line| line["valid"]["auroc"].as_f64())
        .fold(0.0, f64::max);
    assert_eq!(of("head-b")["auroc"], best);
    let tuned: Vec<f64> = runs
        .iter()
        .filter(|run| run["task"] == "mortality")
        .filter_map(|run| run["auroc"].as_f64())
        .collect();
    assert!(tuned.len() == 2 && tuned[0] >= tuned[1], "the best first: {tuned:?}");

    let ended = workshop.run("runs runs --html runs.html").ok();
    assert!(ended.stdout.starts_with("run ") && ended.stdout.contains("diverged"), "{}", ended.stdout);
    assert_eq!(ended.stdout.lines().count(), 6);
    let page = workshop.text("runs.html");
    assert!(page.contains("<svg") && page.contains("polyline") && page.contains("head-b"), "{page}");
    for elsewhere in ["http", "src=", "href=", "<script", "@import", "url("] {
        assert!(!page.contains(elsewhere), "a page without network names nothing elsewhere: {elsewhere}");
    }
    workshop.run("runs runs --html runs.html").ok();
    workshop.run("runs runs --html notes.jsonl").refused(&["notes.jsonl", "not a page of this command"]);
    workshop.run("runs note").refused(&["note"]);
    send(&running, "-INT");
    assert_eq!(running.wait_with_output().expect("ends").status.code(), Some(130));
    assert!(list().iter().any(|run| run["run"] == "running" && run["state"] == "interrupted"));
}

#[test]
fn event_files_hold_the_numbers_of_the_log() {
    let workshop = Workshop::new();
    workshop.run("finetune downstream.toml training.epochs=2").ok();
    for (run, has_perplexity) in [("clinical", true), ("downstream", false)] {
        let scalars = scalars(&workshop, run);
        let curve = |tag: &str| -> Vec<(u64, f32)> {
            scalars.iter().filter(|(name, ..)| name == tag).map(|(_, step, value)| (*step, *value)).collect()
        };
        let log = workshop.log(run);
        #[expect(clippy::cast_possible_truncation, reason = "TensorBoard's scalars are f32")]
        let logged = |value: fn(&Value) -> Option<f64>| -> Vec<(u64, f32)> {
            let point = |line: &Value| Some((line["step"].as_u64()?, value(line)? as f32));
            log.iter().filter_map(point).collect()
        };
        assert!(curve("train/loss").len() > 5);
        assert_eq!(curve("train/loss"), logged(|line| line["loss"].as_f64()), "{run}");
        assert_eq!(curve("train/learning_rate"), logged(|line| line["lr"].as_f64()));
        assert_eq!(curve("train/grad_norm"), logged(|line| line["grad_norm"].as_f64()));
        assert_eq!(curve("train/tokens_per_s"), logged(|line| line["tokens_per_s"].as_f64()));
        assert_eq!(curve("valid/loss"), logged(|line| line["valid"]["loss"].as_f64()));
        assert_eq!(curve("valid/auroc"), logged(|line| line["valid"]["auroc"].as_f64()));
        if has_perplexity {
            assert_eq!(
                curve("valid/perplexity"),
                logged(|line| line["valid"]["loss"].as_f64().map(f64::exp))
            );
        } else {
            assert!(curve("valid/perplexity").is_empty() && !curve("valid/auroc").is_empty());
        }
    }
}
