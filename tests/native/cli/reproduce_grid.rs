//! `reproduce table1`, `table3` and `table4` on a small synthetic hospital: killed, continued, and equal to the bit.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::program::{Ended, Workshop};

/// What a base of two layers and 24 dimensions, and a hundred notes, ask for instead of the paper's values.
const SMALLER: &str = "--resamples 40 max_tokens=24 training.batch_size=10 training.accumulation_steps=1 \
    training.epochs=1 training.learning_rate=1e-2 training.checkpoint_minutes=0";

const ROWS: [&str; 6] = [
    "head",
    "lora",
    "clinical-frozen",
    "clinical-frozen-downstream",
    "clinical-trainable",
    "clinical-trainable-downstream",
];

/// A base and a clinical adapter, and the tasks of a hospital.
fn workshop(patients: u32) -> Workshop {
    let workshop = Workshop::new();
    workshop.run(&format!("cohort --patients {patients} --seed 5 --out hospital")).ok();
    workshop.run("prepare tasks --mimic3 hospital/mimic-iii --out tasks").ok();
    // All notes to test on, some to train on: what takes time is updates.
    for task in ["pmv", "mor", "los", "diag", "proc"] {
        for (split, most) in [("train", 80), ("valid", 20)] {
            let path = workshop.file(&format!("tasks/{task}/{split}.csv"));
            let mut reader = csv::Reader::from_path(&path).unwrap();
            let header = reader.headers().unwrap().clone();
            let rows: Vec<csv::StringRecord> = reader.records().take(most).map(Result::unwrap).collect();
            let mut writer = csv::Writer::from_path(&path).unwrap();
            std::iter::once(&header).chain(&rows).for_each(|row| writer.write_record(row).unwrap());
            writer.flush().unwrap();
        }
    }
    workshop
}

/// A task of 24, 8 and 12 notes whose outcome follows from what they say, in `tasks`.
fn small_task(workshop: &Workshop, name: &str, labels: &[&str], kind: &str) {
    fs::create_dir_all(workshop.file(&format!("tasks/{name}"))).unwrap();
    let inline: Vec<String> = labels.iter().map(|label| format!("{{ name = \"{label}\" }}")).collect();
    let weighting = if kind == "multilabel" { "none" } else { "balanced" };
    workshop.write(
        &format!("tasks/{name}/task.toml"),
        format!(
            "name = \"{name}\"\nkind = \"{kind}\"\nclass_weighting = \"{weighting}\"\nlabels = [{}]\n",
            inline.join(", ")
        ),
    );
    for (split, notes, first) in [("train", 24, 0), ("valid", 8, 100), ("test", 12, 200)] {
        let row = |i: usize| {
            let label = labels[i % labels.len()];
            format!(
                "{},{},\"Came with {label}, day {}. {}\"\n",
                first + i,
                label,
                i / 2,
                crate::program::note(i)
            )
        };
        let rows: String = (0..notes).map(row).collect();
        workshop.write(&format!("tasks/{name}/{split}.csv"), format!("id,label,text\n{rows}"));
    }
}

fn cell<'a>(table: &'a Value, row: &str, task: &str) -> &'a Value {
    let rows = table["rows"].as_array().unwrap();
    let row = rows.iter().find(|of| of["row"] == row).unwrap_or_else(|| panic!("row {row}"));
    let cells = row["cells"].as_array().unwrap();
    cells.iter().find(|of| of["task"] == task).unwrap_or_else(|| panic!("task {task}"))
}

#[test]
fn table_1_counts_what_was_prepared() {
    let workshop = Workshop::empty();
    workshop.run("cohort --patients 60 --seed 3 --out hospital").ok();
    let line = "reproduce table1 --mimic3 hospital/mimic-iii --data tasks";
    let table = workshop.run(&format!("{line} --json")).ok().json();
    let prepared: Value = serde_json::from_slice(&workshop.read("tasks/report.json")).unwrap();
    let sorted = |rows: &Value| {
        let mut rows = rows.as_array().unwrap().clone();
        rows.sort_by_key(|row| row["task"].as_str().unwrap().to_owned());
        rows
    };
    assert_eq!(sorted(&table["rows"]), sorted(&prepared["table1"]), "counted anew, and the same");
    assert_eq!(table["rows"][1]["task"], "mor");
    assert_eq!(table["rows"][2]["test"]["ours"], 0, "a split of so few patients may have no note");
    assert_eq!(table["rows"][1]["train"]["paper"], 33_954);
    let again = workshop.run(line).ok();
    assert!(again.stdout.contains("MOR") && again.stdout.contains("33,954"), "{}", again.stdout);
    for ending in ["json", "md", "csv", "tex", "html"] {
        assert!(workshop.exists(&format!("table1/table1.{ending}")), "{ending}");
    }

    fs::remove_dir_all(workshop.file("tasks/pmv")).unwrap();
    let without = workshop.run("reproduce table1 --data tasks").ok();
    assert!(without.stdout.contains("PMV is not made: it is not in the folder."), "{}", without.stdout);
    workshop.run("reproduce table1 --data hospital").refused(&["holds none of the tasks", "--mimic3"]);
    workshop.run("reproduce table1 --data tasks --out hospital --overwrite").ok();
    workshop.write("page", "not ours");
    workshop.run("reproduce table1 --data tasks --out page").refused(&["page exists"]);
}

#[cfg(unix)]
#[test]
fn table_3_of_a_hospital_survives_being_killed_and_is_the_same_to_the_byte() {
    use crate::interruption::{send, start_until};

    let workshop = workshop(400);
    let line = format!("reproduce table3 --data tasks --model base --clinical clinical {SMALLER}");
    let whole = workshop.run(&format!("{line} --json")).ok();
    assert!(whole.stderr.contains("[30/30] PROC clinical-trainable-downstream: "), "{}", whole.stderr);
    let table = whole.json();
    fs::rename(workshop.file("table3"), workshop.file("whole")).unwrap();

    // Killed in the third cell and in the twentieth, stopped in between.
    let mut child = start_until(&workshop, &line, "table3/runs/los-head-seed1234", 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let child = start_until(&workshop, &line, "table3/runs/diag-lora-seed1234", 3);
    send(&child, "-TERM");
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(ended.stderr.contains("the same command, typed again, continues"), "{}", ended.stderr);
    assert!(ended.stderr.contains("(done before)"), "{}", ended.stderr);
    assert!(!workshop.exists("table3/table3.json"));
    let mut child = start_until(&workshop, &line, "table3/runs/proc-clinical-frozen-downstream-seed1234", 2);
    child.kill().unwrap();
    child.wait().unwrap();
    let continued = workshop.run(&format!("{line} --json")).ok();
    assert_eq!(continued.json(), table);
    for file in ["table3.json", "table3.md", "table3.csv", "table3.tex", "table3.html", "plots/roc-mor.svg"] {
        let [whole, continued] = ["whole", "table3"].map(|folder| workshop.read(&format!("{folder}/{file}")));
        assert!(whole == continued, "{file}");
    }

    // Every cell has its figure from its own predictions, as `evaluate` makes them.
    assert_eq!(
        table["rows"].as_array().unwrap().iter().map(|row| row["row"].as_str().unwrap()).collect::<Vec<_>>(),
        ROWS
    );
    for row in ROWS {
        for task in ["PMV", "MOR", "LOS", "DIAG", "PROC"] {
            let cell = cell(&table, row, task);
            let metrics = format!("table3/runs/{}-{row}-seed1234/test/metrics.json", task.to_lowercase());
            let metrics: Value = serde_json::from_slice(&workshop.read(&metrics)).unwrap();
            assert_eq!(cell["auroc"], metrics["auroc"], "{row} {task}");
            assert_eq!(cell["low"], metrics["auroc_interval"]["low"], "{row} {task}");
            let tested = row != "head" && cell["auroc"].is_f64();
            assert_eq!(cell["against_baseline"]["p_value"].is_f64(), tested, "{row} {task}");
        }
    }
    let mor = cell(&table, "clinical-trainable-downstream", "MOR");
    assert_eq!(
        (&mor["paper_percent"], &mor["against_baseline"]["test"]),
        (&Value::from(77.36), &"delong".into())
    );
    assert_eq!(table["rows"][0]["macro"]["paper_percent"], 59.94);
    assert_eq!(table["rows"][0]["macro"]["paper_printed_percent"], 58.61);
    let run = &mor["runs"][0];
    let adapters: String = run["adapters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| format!(" --adapter {}", path.as_str().unwrap()))
        .collect();
    workshop
        .run(&format!(
            "evaluate --model base{adapters} --task tasks/mor/task.toml --data tasks/mor/test.csv --max-tokens 24 \
             --resamples 40 --out evaluated"
        ))
        .ok();
    for file in ["metrics.json", "predictions.csv"] {
        let of_cell = format!("table3/runs/mor-clinical-trainable-downstream-seed1234/test/{file}");
        assert_eq!(workshop.text(&of_cell), workshop.text(&format!("evaluated/{file}")));
    }
    let page = workshop.text("table3/table3.html");
    for part in [
        "href=\"runs/mor-lora-seed1234/\"",
        "href=\"runs/mor-lora-seed1234/recipe.toml\"",
        "printed 58.61",
        "<svg",
        "id=\"calibration-los\"",
        "id=\"classes-diag\"",
        "id=\"loss-pmv\"",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<script") && !page.contains("NaN"), "nothing runs, nothing is no number");

    match std::env::var_os("CLINLORA_PYTHON") {
        None => println!("check.py is skipped: CLINLORA_PYTHON does not name a Python with scikit-learn"),
        Some(python) => {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/predictions/check.py");
            let check =
                Command::new(python).args([script, "table3", "table3"]).current_dir(workshop.path()).output();
            let check = check.expect("CLINLORA_PYTHON starts");
            assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
            println!("{}", String::from_utf8_lossy(&check.stdout));
        }
    }
}

#[test]
fn what_cannot_be_computed_says_so_and_stops_nothing() {
    let workshop = Workshop::new();
    small_task(&workshop, "pmv", &["LT1W", "GT1W"], "binary");
    small_task(&workshop, "mor", &["NOT_DIE", "DIE"], "binary");
    small_task(&workshop, "los", &["LT3D", "3DTO7D", "1WTO2W", "GT2W"], "multiclass");
    small_task(&workshop, "diag", &["401", "428", "V45"], "multilabel");
    // One class alone in a test split, and a class of LOS that is absent from another.
    let without = |file: &str, label: &str| {
        let text = workshop.text(file);
        let lines = text.lines().filter(|line| !line.contains(&format!(",{label},")));
        workshop.write(file, lines.map(|line| format!("{line}\n")).collect::<String>());
    };
    without("tasks/pmv/test.csv", "GT1W");
    without("tasks/los/test.csv", "GT2W");
    let line = format!(
        "reproduce table3 --data tasks --model base --rows head,lora --seeds 2 {SMALLER} \
         lora.mor.training.learning_rate=1e30 lora.training.epochs=2"
    );
    let table = workshop.run(&format!("{line} --json")).ok().json();
    for (task, status, reason) in [
        ("PMV", "undefined", "one class"),
        ("LOS", "undefined", "no class GT2W"),
        ("PROC", "missing", "not made"),
    ] {
        let cell = cell(&table, "head", task);
        assert_eq!(
            (&cell["status"], &cell["reason"], &cell["auroc"]),
            (&status.into(), &reason.into(), &Value::Null)
        );
    }
    let diverged = cell(&table, "lora", "MOR");
    assert_eq!((&diverged["status"], &diverged["reason"]), (&"diverged".into(), &"diverged".into()));
    assert_eq!(table["rows"][0]["macro"]["auroc"], Value::Null);
    // Two seeds have a mean between them, and a spread.
    let diag = cell(&table, "lora", "DIAG");
    let of_seed = |i: usize| diag["runs"][i]["auroc"].as_f64().unwrap();
    assert!((diag["auroc"].as_f64().unwrap() - (of_seed(0) + of_seed(1)) / 2.0).abs() < 1e-12);
    let sd = (of_seed(0) - of_seed(1)).abs() / 2.0_f64.sqrt();
    assert!((diag["sd"].as_f64().unwrap() - sd).abs() < 1e-12);
    assert_eq!(diag["runs"][1]["seed"], 1235);
    assert_eq!(diag["runs"][0]["updates"], 6, "the row's own two epochs, of three updates each");
    assert_eq!(diag["against_baseline"]["test"], "bootstrap");
    for ending in ["md", "html", "tex", "csv"] {
        let text = workshop.text(&format!("table3/table3.{ending}"));
        assert!(text.contains("one class") && text.contains("diverged") && !text.contains("NaN"), "{ending}");
    }

    // The same again: nothing is trained, nothing tested, not even what diverged.
    let again = workshop.run(&line).ok();
    assert_eq!(again.stderr.matches("(done before)").count(), 16, "{}", again.stderr);
    assert!(again.stdout.contains("one class") && again.stdout.contains("± "), "{}", again.stdout);

    // Other test notes are tested anew; other training notes are refused.
    let test = workshop.text("tasks/diag/test.csv");
    workshop.write("tasks/diag/test.csv", test.replacen("day 0", "day zero", 1));
    let other = workshop.run(&line).ok();
    assert_eq!(other.stderr.matches("(done before)").count(), 12, "{}", other.stderr);
    workshop.edit("tasks/mor/train.csv", "day 0", "day zero");
    workshop.run(&line).refused(&["mor-head-seed1234", "train file", "remove the folder"]);
}

#[test]
fn what_cannot_become_a_grid_is_refused_before_anything_is_trained() {
    let workshop = Workshop::new();
    small_task(&workshop, "pmv", &["LT1W", "GT1W"], "binary");
    let refused = |more: &str, parts: &[&str]| {
        let line = format!("reproduce table3 --data tasks --model base --tasks pmv {SMALLER} {more}");
        workshop.run(&line).refused(parts);
        assert!(!workshop.exists("table3"), "nothing half-written: {more}");
    };
    refused("", &["row clinical-frozen loads a clinical adapter", "--clinical", "--notes"]);
    refused("--rows head,lorra", &["--rows lorra", "clinical-trainable-downstream"]);
    refused("--rows head --baseline lora", &["--baseline lora", "there are head"]);
    refused("--rows head --tasks pmv,xyz", &["--tasks xyz", "PMV, MOR"]);
    refused("--rows head --tasks mor", &["tasks/mor/task.toml", "was not made"]);
    refused("--rows head out=x", &["comes from --out"]);
    refused("--rows head pmv.data.train=x", &["comes from --data"]);
    refused("--rows head seed=3", &["--seed and --seeds"]);
    refused("--rows head training.epochz=3", &["epochz"]);
    refused("--rows lora lora.adapter.0.r=0", &["adapter.0"]);
    refused("--clinical clinical --notes tasks --rows lora", &["cannot be used with"]);
    workshop
        .run("reproduce table3 --data base --model base --rows head")
        .refused(&["holds none of the tasks"]);
    // Balanced weights need a note of every class.
    let train = workshop.text("tasks/pmv/train.csv");
    let of_one_class = train.lines().filter(|line| !line.contains(",GT1W,")).map(|line| format!("{line}\n"));
    workshop.write("tasks/pmv/train.csv", of_one_class.collect::<String>());
    refused("--rows head", &["no note is labelled GT1W", "leave PMV out of --tasks"]);
    // A task nobody asked for by name is left open instead.
    small_task(&workshop, "mor", &["NOT_DIE", "DIE"], "binary");
    let line = format!("reproduce table3 --data tasks --model base --rows head {SMALLER}");
    let table = workshop.run(&format!("{line} --json")).ok().json();
    assert_eq!(cell(&table, "head", "PMV")["reason"], "no class GT1W to train on");
    assert_eq!(cell(&table, "head", "MOR")["status"], "done");
}

#[test]
fn a_clinical_adapter_is_trained_first_where_notes_are_given() {
    let workshop = Workshop::new();
    small_task(&workshop, "mor", &["NOT_DIE", "DIE"], "binary");
    fs::create_dir(workshop.file("notes")).unwrap();
    for (split, notes) in [("train", 0..20), ("valid", 20..25)] {
        let lines =
            notes.map(|i| serde_json::json!({"id": i, "text": crate::program::note(i)}).to_string() + "\n");
        workshop.write(&format!("notes/{split}.jsonl"), lines.collect::<String>());
    }
    let line = format!(
        "reproduce table3 --data tasks --model base --notes notes --rows head,clinical-frozen --tasks mor {SMALLER} \
         clinical.training.epochs=2 clinical.training.accumulation_steps=1 clinical.training.learning_rate=1e-2 \
         clinical.max_tokens=24"
    );
    let first = workshop.run(&line).ok();
    assert!(first.stderr.contains("clinical adapter: ") && first.stderr.contains("held-out perplexity"));
    assert!(workshop.exists("table3/clinical/adapter_model.safetensors"));
    let table: Value = serde_json::from_slice(&workshop.read("table3/table3.json")).unwrap();
    assert_eq!(table["rows"][1]["clinical"], "table3/clinical");
    let run = &cell(&table, "clinical-frozen", "MOR")["runs"][0];
    assert_eq!(run["adapters"][0], "table3/clinical");
    let trained = workshop.text("table3/clinical/run.jsonl");
    let again = workshop.run(&line).ok();
    assert!(!again.stderr.contains("clinical adapter: "), "{}", again.stderr);
    assert_eq!(workshop.text("table3/clinical/run.jsonl"), trained);
    workshop
        .run(&format!("{line} clinical.adapter.0.r=2"))
        .refused(&["table3/clinical", "the recipe has changed"]);
}

#[test]
fn table_4_trains_berts_in_full_and_with_lora_beside_the_proposal() {
    let workshop = Workshop::new();
    crate::methods::copy_bert(&workshop, "old");
    small_task(&workshop, "mor", &["NOT_DIE", "DIE"], "binary");
    let line =
        format!("reproduce table4 --data tasks --tasks mor --bert BlueBERT=old --bert mine=old {SMALLER}");
    let table = workshop.run(&format!("{line} --json")).ok().json();
    let titles: Vec<&str> =
        table["rows"].as_array().unwrap().iter().map(|row| row["title"].as_str().unwrap()).collect();
    let expected = [
        "BlueBERT, full",
        "BlueBERT + LoRA",
        "mine, full",
        "mine + LoRA",
        "LLaMA + Clinical (Trainable) + Downstream",
    ];
    assert_eq!(titles, expected);
    assert_eq!(table["baseline"], "bluebert-full");
    for (row, paper) in
        [("bluebert-full", Value::from(76.95)), ("bluebert-lora", 81.90.into()), ("mine-full", Value::Null)]
    {
        let cell = cell(&table, row, "MOR");
        assert_eq!((&cell["status"], &cell["paper_percent"]), (&"done".into(), &paper), "{row}");
    }
    let (full, lora) = (cell(&table, "bluebert-full", "MOR"), cell(&table, "bluebert-lora", "MOR"));
    let trained = |cell: &Value| cell["runs"][0]["trainable"].as_u64().unwrap();
    assert!(trained(full) > 3 * trained(lora), "every weight against two factors");
    assert_eq!(cell(&table, "proposal", "MOR")["status"], "missing");
    assert_eq!(table["rows"][1]["macro"]["paper_printed_percent"], 71.56);
    // The model that was trained in full is in its run's folder.
    let run = full["runs"][0]["run"].as_str().unwrap();
    workshop
        .run(&format!(
            "evaluate --model {run} --adapter {run} --task tasks/mor/task.toml --data tasks/mor/test.csv --max-tokens 24 \
             --resamples 40 --out again"
        ))
        .ok();
    assert_eq!(workshop.text("again/predictions.csv"), workshop.text(&format!("{run}/test/predictions.csv")));

    // With a base and an adapter the proposal is made as well.
    let with = workshop.run(&format!("{line} --model base --clinical clinical --json")).ok();
    assert_eq!(with.stderr.matches("(done before)").count(), 4, "{}", with.stderr);
    assert_eq!(cell(&with.json(), "proposal", "MOR")["status"], "done");
    let refused = |more: &str, part: &str| workshop.run(&format!("{line} {more}")).refused(&[part]);
    refused("--bert nothing", "give NAME=DIR");
    refused("--bert mine=old", "stands twice");
    refused("--model base", "needs both --model and --clinical");
}
