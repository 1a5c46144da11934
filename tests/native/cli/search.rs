//! `clinlora search` as typed: trials in run folders, a shared journal, kills, refusals.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::program::{Ended, Workshop};

const SPACE: &str = r#""adapter.downstream.r" = [1, 2, 4]
"adapter.downstream.alpha" = [2, 3]
"#;

/// A trained folder with a space of six points.
fn workshop() -> Workshop {
    let workshop = Workshop::new();
    workshop.write("space.toml", SPACE);
    workshop
}

const LINE: &str = "search downstream.toml --space space.toml --out search training.epochs=2";

fn journal(workshop: &Workshop) -> Vec<Value> {
    let line = |line| serde_json::from_str(line).expect("the journal is JSON lines");
    workshop.text("search/journal.jsonl").lines().map(line).collect()
}

fn count(lines: &[Value], event: &str) -> usize {
    lines.iter().filter(|line| line["event"] == event).count()
}

#[test]
fn a_search_tries_every_point_once_and_reports() {
    let workshop = workshop();
    let report = workshop.run(&format!("{LINE} --trials 9 --json")).ok().json();
    assert_eq!(report["metric"], "auroc");
    assert_eq!((&report["exhausted"], &report["points"]), (&Value::from(true), &Value::from(6)));
    let trials = report["trials"].as_array().unwrap();
    let points: BTreeSet<String> = trials.iter().map(|trial| trial["values"].to_string()).collect();
    assert_eq!((trials.len(), points.len()), (6, 6));

    // Every figure is its run's own, and the best is the best.
    let best = trials.iter().map(|trial| trial["value"].as_f64().unwrap()).fold(0.0, f64::max);
    assert_eq!(report["best"]["value"], best);
    for (i, trial) in trials.iter().enumerate() {
        let run = format!("search/trials/{:04}", i + 1);
        let recipe = workshop.text(&format!("{run}/recipe.toml"));
        let r = trial["values"]["adapter.1.r"].as_u64().unwrap();
        assert!(recipe.contains(&format!("\nr = {r}\n")), "{recipe}");
        let aurocs = workshop.log(&run).into_iter().filter_map(|line| line.get("valid")?["auroc"].as_f64());
        assert_eq!(trial["value"], aurocs.fold(0.0, f64::max));
        assert!(workshop.exists(&format!("{run}/adapter_model.safetensors")));
    }
    let html = workshop.text("search/report.html");
    assert!(html.contains("<svg") && html.contains("best so far"), "{html}");

    // Typed again, it trains nothing more, and prints the table.
    let before = workshop.text("search/journal.jsonl");
    let again = workshop.run(&format!("{LINE} --trials 9")).ok();
    assert_eq!(workshop.text("search/journal.jsonl"), before);
    assert!(again.stdout.contains("every one of the 6 points has been tried"), "{}", again.stdout);
    assert_eq!(again.stdout.matches(" best\n").count(), 1, "{}", again.stdout);
    assert!(again.stderr.contains("goes on after 6 trials"), "{}", again.stderr);
}

#[test]
fn the_same_seed_gives_the_same_search_whether_stopped_or_not() {
    let workshop = workshop();
    let values = |report: &Value| -> Vec<(Value, Value)> {
        let trials = report["trials"].as_array().unwrap();
        trials.iter().map(|trial| (trial["values"].clone(), trial["value"].clone())).collect()
    };
    let line = LINE.replace("search downstream", "search --metric loss downstream");
    let whole = workshop.run(&format!("{line} --trials 6 --json")).ok().json();
    let other = line.replace("--out search", "--out other");
    workshop.run(&format!("{other} --trials 2")).ok();
    let parts = workshop.run(&format!("{other} --trials 6 --json")).ok().json();
    assert_eq!(values(&whole), values(&parts));
    let started = |line: &Value| line["event"] == "started" && line["expected_improvement"].is_f64();
    assert!(journal(&workshop).iter().any(started), "the surrogate was asked");
}

#[test]
fn pretraining_is_searched_for_perplexity_in_the_papers_space() {
    let workshop = workshop();
    let line = "search clinical.toml --json training.epochs=1";
    let report = workshop.run(&format!("{line} --trials 2")).ok().json();
    assert_eq!((&report["metric"], &report["points"]), (&Value::from("perplexity"), &Value::from(48)));
    assert!(report["best"]["value"].as_f64().unwrap() > 1.0);
    assert!(workshop.exists("clinical-search/trials/0002/recipe.toml"));
    assert!(report["importance"].is_null(), "two trials say nothing of that");
    let report = workshop.run(&format!("{line} --trials 6")).ok().json();
    let shares = report["importance"].as_object().unwrap();
    assert!(shares.keys().eq(["adapter.0.alpha", "adapter.0.dropout", "adapter.0.r"]), "{shares:?}");
    let shares: Vec<f64> = shares.values().map(|share| share.as_f64().unwrap()).collect();
    assert!(
        shares.iter().all(|share| *share >= 0.0) && shares.iter().sum::<f64>() <= 1.0 + 1e-9,
        "{shares:?}"
    );
    let text = workshop.run(&format!("{line} --trials 6").replace("--json", "")).ok().stdout;
    assert!(text.contains("share of the variance of the perplexity"), "{text}");
}

#[test]
fn a_trial_that_diverges_is_recorded_and_the_search_goes_on() {
    let workshop = workshop();
    workshop.write("wild.toml", "\"training.learning_rate\" = [0.01, 1e8]");
    let line = "search clinical.toml --space wild.toml --out search --json training.schedule=constant";
    let report = workshop.run(line).ok().json();
    let trials = report["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 2);
    let wild = trials.iter().find(|trial| trial["values"]["training.learning_rate"] == 1e8).unwrap();
    assert_eq!((&wild["state"], &wild["value"]), (&Value::from("failed"), &Value::Null));
    assert!(wild["note"].as_str().unwrap().contains("diverged at update"), "{wild}");
    assert_eq!(report["best"]["values"]["training.learning_rate"], 0.01);
}

#[test]
fn a_torn_journal_is_repaired_and_said() {
    let workshop = workshop();
    workshop.run(&format!("{LINE} --trials 2")).ok();
    let whole = workshop.text("search/journal.jsonl");
    let torn = &whole[..whole.len() - 9];
    workshop.write("search/journal.jsonl", torn);
    let ended = workshop.run(&format!("{LINE} --trials 2 --json")).ok();
    assert!(ended.stderr.contains("left its last line unfinished"), "{}", ended.stderr);
    let trials = ended.json()["trials"].clone();
    assert_eq!((trials.as_array().unwrap().len(), &trials[1]["state"]), (2, &Value::from("finished")));
    let lines = journal(&workshop);
    assert_eq!((count(&lines, "started"), count(&lines, "resumed"), count(&lines, "finished")), (2, 1, 2));
}

#[cfg(unix)]
#[test]
fn processes_share_a_journal_and_a_killed_ones_trial_is_neither_lost_nor_repeated() {
    let workshop = workshop();
    let line = format!("{LINE} --trials 6 training.epochs=12 training.checkpoint_minutes=0");
    let mut killed = workshop.command(&line).spawn().unwrap();
    let log = workshop.file("search/trials/0001/run.jsonl");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(120);
    while fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < 3 {
        assert!(std::time::Instant::now() < deadline, "no update was made");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
    let others = [(); 2].map(|()| workshop.command(&line).spawn().unwrap());
    std::thread::sleep(std::time::Duration::from_millis(60));
    killed.kill().unwrap();
    killed.wait().unwrap();
    for other in others {
        Ended::of(other.wait_with_output().unwrap()).ok();
    }
    // Whatever the others could not see in time, the next command does.
    let report = workshop.run(&format!("{line} --json")).ok().json();
    let trials = report["trials"].as_array().unwrap();
    let points: BTreeSet<String> = trials.iter().map(|trial| trial["values"].to_string()).collect();
    assert_eq!((trials.len(), points.len()), (6, 6), "{report}");
    assert!(trials.iter().all(|trial| trial["state"] == "finished"), "{report}");
    let lines = journal(&workshop);
    assert_eq!((count(&lines, "started"), count(&lines, "finished")), (6, 6));
    assert!(count(&lines, "resumed") >= 1);
    let processes: BTreeSet<u64> = lines.iter().filter_map(|line| line["pid"].as_u64()).collect();
    assert!(processes.len() >= 3, "{processes:?}");
    // The trial that was taken up made every update once.
    for number in 1..=6 {
        let steps = workshop.updates(&format!("search/trials/{number:04}"), "step");
        assert!(steps.iter().copied().eq((1..=48).map(f64::from)), "{steps:?}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_saves_the_trial_and_the_same_command_goes_on() {
    use crate::interruption::{send, start_until};

    let workshop = workshop();
    let line = format!("{LINE} --trials 2 training.epochs=40");
    let child = start_until(&workshop, &line, "search/trials/0001", 4);
    send(&child, "-TERM");
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("the same command, typed again, continues"), "{}", ended.stderr);
    assert_eq!(count(&journal(&workshop), "left"), 1);
    let report = workshop.run(&format!("{line} --json")).ok().json();
    assert_eq!(report["trials"].as_array().unwrap().len(), 2);
    let steps = workshop.updates("search/trials/0001", "step");
    assert!(steps.iter().copied().eq((1..=160).map(f64::from)), "{} updates", steps.len());
}

#[test]
fn hopeless_trials_are_given_up() {
    let workshop = workshop();
    // Learning rates that do next to nothing, after ones that learn.
    workshop.write(
        "rates.toml",
        "\"training.learning_rate\" = [0.02, 0.021, 0.022, 0.023, 0.024, 1e-9, 2e-9, 3e-9]",
    );
    let line = "search clinical.toml --space rates.toml --out search --sampler random --prune median --json \
                training.epochs=4";
    let report = workshop.run(line).ok().json();
    let trials = report["trials"].as_array().unwrap();
    assert_eq!(trials.len(), 8);
    let pruned: Vec<&Value> = trials.iter().filter(|trial| trial["state"] == "pruned").collect();
    assert!(!pruned.is_empty(), "{report}");
    for trial in pruned {
        assert!(trial["note"].as_str().unwrap().contains("after epoch"), "{trial}");
        let updates =
            workshop.updates(&format!("search/trials/{:04}", trial["trial"].as_u64().unwrap()), "step");
        assert!(updates.len() < 4 * 5, "{} updates", updates.len());
    }
    assert!(report["best"]["values"]["training.learning_rate"].as_f64().unwrap() > 0.01);
}

#[test]
fn what_cannot_be_searched_is_refused_before_anything_is_trained() {
    let workshop = workshop();
    let with = |space: &str, more: &str| {
        workshop.write("bad.toml", space);
        workshop.run(&format!("search downstream.toml --space bad.toml --out bad {more}"))
    };
    with("\"adapter.1.rank\" = [1, 2]", "").refused(&["adapter.1.rank", "unknown field `rank`", "`r`"]);
    with("\"adapter.1.r\" = [0, 2]", "").refused(&["adapter.1", "r = 0"]);
    with("\"adapter.1.r\" = []", "").refused(&["bad.toml", "adapter.1.r", "two or more"]);
    with("\"adapter.middle.r\" = [1, 2]", "").refused(&["clinical", "downstream"]);
    with("\"adapter.1.r\" = [1, 2", "").refused(&["bad.toml:1"]);
    with("\"adapter.1.r\" = [1, 2]", "adapter.1.r=4").refused(&["adapter.1.r=4", "leave one out"]);
    with("\"adapter.1.dropout\" = [0.2, { none = true }]", "")
        .refused(&["adapter.1.dropout", "{ absent = true }"]);
    workshop.run("search downstream.toml --space lorra --out bad").refused(&["lorra", "adaption-prompt"]);
    workshop.run("search base.toml --out bad").refused(&["--space FILE"]);
    workshop.run("search clinical.toml --metric auroc --out bad").refused(&["perplexity and loss"]);
    workshop.run("search downstream.toml --space space.toml --out base").refused(&["exists", "--overwrite"]);
    assert!(!workshop.exists("bad"));

    workshop.run(&format!("{LINE} --trials 1")).ok();
    let before = workshop.text("search/journal.jsonl");
    let again = |from: &str, to: &str| workshop.run(&LINE.replace(from, to));
    again("training.epochs=2", "training.epochs=3")
        .refused(&["`epochs = 2` became `epochs = 3`", "--overwrite"]);
    again("--out", "--sampler random --out").refused(&["--sampler gp became random"]);
    again("--out", "--seed 9 --out").refused(&["--seed"]);
    workshop.edit("space.toml", "[2, 3]", "[2, 5]");
    again("", "").refused(&["adapter.1.alpha was [2,3] and is [2,5]"]);
    workshop.edit("space.toml", "\"adapter.downstream.alpha\" = [2, 5]\n", "");
    again("", "").refused(&["no longer has adapter.1.alpha"]);
    assert_eq!(workshop.text("search/journal.jsonl"), before);
}
