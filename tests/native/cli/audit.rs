//! What is known afterwards of what was made: the audit log, and the model card.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::program::{NOTES, SECRET, Workshop};

/// Lines of the one log that `clinlora audit` finds in a folder.
fn lines(workshop: &Workshop, folder: &str) -> Vec<Value> {
    let found = workshop.run(&format!("audit {folder} --json")).ok().json();
    let logs = found["logs"].as_array().expect("logs");
    assert_eq!(logs.len(), 1, "{found}");
    logs[0]["lines"].as_array().expect("lines").clone()
}

fn events(lines: &[Value]) -> Vec<&str> {
    lines.iter().map(|line| line["event"].as_str().expect("an event")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn every_result_says_who_made_it_of_what() {
    let workshop = Workshop::new();
    let run = lines(&workshop, "clinical");
    assert_eq!(events(&run), ["begun", "finished"]);
    let hash = |line: &Value, what: &str| line["sha256"][what].as_str().unwrap_or_default().to_owned();
    let base: Value = serde_json::from_slice(&workshop.read("clinical/clinlora.json")).expect("JSON");
    assert_eq!(hash(&run[0], "weights"), base["base_fingerprint"]);
    assert_eq!(hash(&run[0], "recipe"), sha256(&workshop.read("clinical/recipe.toml")));
    let state: Value = serde_json::from_slice(&workshop.read("clinical/state.json")).expect("JSON");
    assert_eq!(hash(&run[0], "data"), state["notes_sha256"]);
    assert_eq!(
        hash(&run[0], "binary"),
        sha256(&std::fs::read(env!("CARGO_BIN_EXE_clinlora")).expect("the program"))
    );
    let adapter = workshop.read("clinical/adapter_model.safetensors");
    assert_eq!(hash(&run[1], "adapter_model.safetensors"), sha256(&adapter));
    assert_eq!(run[0]["command"][1], "pretrain");
    assert!(
        run[0]["user"].is_string() && run[0]["host"].is_string() && run[0]["time"].is_string(),
        "{}",
        run[0]
    );

    workshop.run("finetune downstream.toml training.epochs=1").ok();
    let stack = "--model base --adapter clinical --adapter downstream";
    let evaluate = format!(
        "evaluate {stack} --max-tokens 40 --task mortality.toml --data mortality.csv --resamples 9 --out eval"
    );
    workshop.run(&evaluate).ok();
    workshop.run(&format!("merge {stack} --out merged")).ok();
    let evaluated = &lines(&workshop, "eval")[0];
    assert_eq!(evaluated["event"], "evaluated");
    assert_eq!(hash(evaluated, "data"), sha256(&workshop.read("mortality.csv")));
    assert_eq!(hash(evaluated, "adapter 1"), sha256(&adapter));
    assert_eq!(hash(evaluated, "weights"), base["base_fingerprint"]);
    assert_eq!(hash(evaluated, "predictions.csv"), sha256(&workshop.read("eval/predictions.csv")));
    let merged = &lines(&workshop, "merged")[0];
    assert_eq!(hash(merged, "model.safetensors"), sha256(&workshop.read("merged/model.safetensors")));

    // What is replaced keeps its history.
    workshop.run("finetune downstream.toml training.epochs=1 --overwrite").ok();
    assert_eq!(events(&lines(&workshop, "downstream")), ["begun", "finished", "begun", "finished"]);
    workshop.run(&format!("{evaluate} --overwrite")).ok();
    assert_eq!(events(&lines(&workshop, "eval")), ["evaluated", "evaluated"]);

    let all = workshop.run("audit .").ok().stdout;
    for part in
        ["base/audit.jsonl", "clinical/audit.jsonl", "the chain holds", "finished", "pretrain clinical.toml"]
    {
        assert!(all.contains(part), "no {part:?} in {all}");
    }
    for folder in ["base", "clinical", "downstream", "eval", "merged"] {
        assert!(!workshop.text(&format!("{folder}/audit.jsonl")).contains(SECRET), "{folder}");
    }
}

#[test]
fn a_broken_log_is_named_by_its_line_and_a_torn_one_repaired() {
    let workshop = Workshop::new();
    for _ in 0..3 {
        workshop.run("pretrain clinical.toml --resume").ok();
    }
    let text = workshop.text("clinical/audit.jsonl");
    let log: Vec<&str> = text.lines().collect();
    assert_eq!(log.len(), 8);
    workshop.write("clinical/audit.jsonl", text.replacen("\"resumed\"", "\"begun\"", 1));
    workshop.run("audit clinical").refused(&["clinical/audit.jsonl:3: ", "has been changed"]);
    workshop.run("audit .").refused(&["clinical/audit.jsonl:3: "]);
    let without = [&log[..4], &log[5..]].concat().join("\n") + "\n";
    workshop.write("clinical/audit.jsonl", without);
    workshop.run("audit clinical").refused(&["clinical/audit.jsonl:5: ", "removed, added or moved"]);
    workshop.write("clinical/audit.jsonl", &text[..text.len() - 100]);
    workshop.run("audit clinical").refused(&["clinical/audit.jsonl:8: ", "torn"]);
    let ended = workshop.run("pretrain clinical.toml --resume").ok();
    assert!(ended.stderr.contains("its last line was torn"), "{}", ended.stderr);
    let repaired = lines(&workshop, "clinical");
    assert_eq!(events(&repaired)[6..], ["resumed", "resumed", "finished"]);
    assert!(repaired[7]["details"]["torn_bytes_removed"].is_u64(), "{}", repaired[7]);
    std::fs::create_dir(workshop.file("empty")).expect("writable");
    workshop.run("audit empty").refused(&["empty", "no audit.jsonl"]);
}

#[test]
fn a_card_says_what_was_made_and_what_for() {
    let workshop = Workshop::new();
    let card = |folder: &str| -> Value {
        serde_json::from_slice(&workshop.read(&format!("{folder}/model_card.json"))).expect("JSON")
    };
    let clinical = card("clinical");
    assert_eq!(clinical["name"], "clinical");
    assert_eq!(clinical["derived_from_credentialed_data"], true, "what is not said is taken to be");
    assert_eq!(clinical["base"]["name"], "base");
    assert_eq!(clinical["stack"][0]["r"], 3);
    assert_eq!(clinical["data"]["file"], "notes.jsonl");
    let counts =
        ["training_notes", "validation_notes"].map(|key| clinical["data"][key].as_u64().expect("a count"));
    assert_eq!(counts.iter().sum::<u64>(), NOTES as u64);
    let best =
        workshop.validations("clinical").into_iter().map(|(_, loss)| loss).fold(f64::INFINITY, f64::min);
    assert_eq!(clinical["metrics"]["validation_loss"], best);
    assert!(
        (clinical["metrics"]["validation_perplexity"].as_f64().expect("a figure") - best.exp()).abs() < 1e-9
    );
    assert_eq!(clinical["training"]["hyper_parameters"]["epochs"], 3);

    // Two adapters and a head on what was credentialed: derived from it, whatever the notes of this run are.
    let line = "finetune downstream.toml training.epochs=2 adapter.0.trainable=true data.credentialed=false licence=CC-BY-4.0";
    workshop.run(line).ok();
    for folder in ["downstream", "downstream/clinical"] {
        let card = card(folder);
        assert_eq!(card["derived_from_credentialed_data"], true, "{folder}");
        assert_eq!(card["data"]["credentialed"], false);
        assert_eq!(card["licence"], "CC-BY-4.0");
        assert!(
            card["metrics"]["validation_auroc"].is_number()
                && card["metrics"].get("validation_perplexity").is_none()
        );
        let text = workshop.text(&format!("{folder}/model_card.md"));
        for part in [
            "# downstream",
            "Death in hospital",
            "Derived from credentialed data",
            "Not for clinical use",
            "CC-BY-4.0",
        ] {
            assert!(text.contains(part), "no {part:?} in {text}");
        }
        assert!(!text.contains(SECRET));
    }

    workshop.run("pretrain base.toml out=open data.credentialed=false training.epochs=1").ok();
    let open = card("open");
    assert_eq!(open["derived_from_credentialed_data"], false);
    assert_eq!(open["base"]["scratch"]["hidden_size"], 24);
    assert!(workshop.text("open/model_card.md").contains("Licence\n\nnot stated"));
}
