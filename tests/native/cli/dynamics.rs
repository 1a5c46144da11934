//! What a run does with what its recipe says, read from its `run.jsonl`.

use safetensors::SafeTensors;

use crate::program::{NOTES, Workshop, label};

fn assert_close(what: &str, actual: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= tolerance, "{what}[{i}]: {a} against {e}");
    }
}

/// Every f32 of a safetensors file.
fn values(bytes: &[u8]) -> Vec<f32> {
    let tensors = SafeTensors::deserialize(bytes).expect("a whole file");
    let floats = |data: &[u8]| -> Vec<f32> {
        data.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
    };
    tensors.iter().flat_map(|(_, view)| floats(view.data())).collect()
}

#[test]
fn every_update_is_logged_with_its_numbers() {
    let workshop = Workshop::new();
    // 25 notes, 3 held out (a tenth, rounded), 5 an update: 5 updates in each of 3 epochs.
    let keys = ["step", "loss", "lr", "grad_norm", "tokens", "tokens_per_s", "seconds"];
    for key in keys {
        let numbers = workshop.updates("clinical", key);
        assert_eq!(numbers.len(), 15, "{key}");
        let all = if key == "lr" { &numbers[1..] } else { &numbers };
        assert!(all.iter().all(|n| n.is_finite() && *n > 0.0), "{key}: {numbers:?}");
    }
    let steps: Vec<f64> = (1..=15).map(f64::from).collect();
    assert_eq!(workshop.updates("clinical", "step"), steps);
    let updates: Vec<u64> = workshop.validations("clinical").iter().map(|(update, _)| *update).collect();
    assert_eq!(updates, [5, 10, 15]);
    let losses = workshop.updates("base", "loss");
    assert!(losses[losses.len() - 1] < 0.8 * losses[0], "the base learns: {losses:?}");
}

#[test]
fn exact_accumulation_equals_the_large_batch() {
    let workshop = Workshop::new();
    workshop.write(
        "weighted.toml",
        format!("class_weighting = \"balanced\"\n{}", workshop.text("mortality.toml")),
    );
    let recipes = [
        ("pretrain base.toml training.epochs=2 max_tokens=400", "base"),
        ("finetune downstream.toml adapter.1.dropout=0 task=weighted.toml", "downstream"),
    ];
    for (command, run) in recipes {
        for (batch, steps, accumulation) in [(6, 1, "exact"), (2, 3, "exact"), (2, 3, "micro_mean")] {
            let line = format!(
                "{command} out={run}-{batch}-{accumulation} training.batch_size={batch} \
                 training.accumulation_steps={steps} training.accumulation={accumulation}"
            );
            workshop.run(&line).ok();
        }
        for key in ["loss", "grad_norm"] {
            let of = |name: &str| workshop.updates(&format!("{run}-{name}"), key);
            assert_close(key, &of("2-exact"), &of("6-exact"), 1e-5);
            let differs = of("2-micro_mean").iter().zip(of("6-exact")).any(|(a, b)| (a - b).abs() > 1e-4);
            assert!(differs, "{run}: the mean of micro-batch means is another number");
        }
    }
}

#[test]
fn learning_rates_follow_the_schedule() {
    let workshop = Workshop::new();
    let run = |out: &str, more: &str| {
        let line = format!(
            "pretrain clinical.toml out={out} training.batch_size=2 training.accumulation_steps=5 \
             training.learning_rate=0.004 {more}"
        );
        workshop.run(&line).ok();
        workshop.updates(out, "lr")
    };
    // 22 training notes: 11 micro-batches and 3 updates in each of 3 epochs.
    let (micro_batches, updates) = (33.0, 9);
    let (peak, ratio) = (0.004, 0.06);
    let after = |s: f64, warmup: f64| peak * (micro_batches - s) / (micro_batches - warmup);
    let expected: Vec<f64> =
        (0..updates).map(|s| if s == 0 { 0.0 } else { after(f64::from(s), ratio) }).collect();
    assert_close("author_compat", &run("author", "training.schedule=author_compat"), &expected, 1e-15);
    // The pretraining code had no warm-up step.
    let expected: Vec<f64> = (0..updates).map(|s| after(f64::from(s), 0.0)).collect();
    let actual = run("author-0", "training.schedule=author_compat training.warmup_ratio=0");
    assert_close("author_compat without warm-up", &actual, &expected, 1e-15);
    // Two of nine updates of warm-up.
    let expected: Vec<f64> = (0..updates)
        .map(|s| if s < 2 { peak * f64::from(s) / 2.0 } else { peak * f64::from(9 - s) / 7.0 })
        .collect();
    assert_close("linear", &run("linear", "training.warmup_ratio=0.2"), &expected, 1e-15);
    assert_close("constant", &run("constant", "training.schedule=constant"), &[peak; 9], 1e-15);
}

#[test]
fn clipping_bounds_the_gradient_and_only_where_it_is_larger() {
    let workshop = Workshop::new();
    let change = |out: &str, more: &str| {
        workshop.run(&format!("pretrain clinical.toml out={out} training.weight_decay=0 {more}")).ok();
        let weights = workshop.read(&format!("{out}/adapter_model.safetensors"));
        let tensors = SafeTensors::deserialize(&weights).expect("a whole file");
        let of_b = tensors.iter().filter(|(name, _)| name.contains("lora_B"));
        let squares = of_b.flat_map(|(_, view)| view.data().to_vec()).collect::<Vec<u8>>();
        let norm = squares
            .chunks_exact(4)
            .map(|b| f64::from(f32::from_le_bytes(b.try_into().expect("four bytes"))).powi(2))
            .sum::<f64>()
            .sqrt();
        (weights, norm)
    };
    let (free, moved) = change("free", "");
    let (loose, _) = change("loose", "training.max_grad_norm=1e9");
    // Far below AdamW's eps even AdamW, which divides by the gradient's size, moves little.
    let (_, held) = change("tight", "training.max_grad_norm=1e-10");
    assert_eq!(free, loose);
    assert!(held < 0.1 * moved, "{held} against {moved}");
    assert_eq!(workshop.updates("free", "grad_norm")[0], workshop.updates("tight", "grad_norm")[0]);
}

#[test]
fn the_kept_state_is_the_one_asked_for_and_patience_ends_a_run() {
    let workshop = Workshop::new();
    // Held-out notes of another language, their words in reverse: learning the first makes the loss worse again.
    let notes = workshop.text("notes.jsonl");
    let reversed = notes.lines().step_by(5).map(|line| {
        let mut note: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let words: Vec<&str> = note["text"].as_str().expect("a text").split(' ').rev().collect();
        note["text"] = words.join(" ").into();
        format!("{note}\n")
    });
    workshop.write("reversed.jsonl", reversed.collect::<String>());
    let command = "pretrain clinical.toml data.valid=reversed.jsonl training.epochs=12 training.learning_rate=0.01 \
                   training.schedule=constant";
    let kept = |select: &str| {
        let summary =
            workshop.run(&format!("{command} out={select} training.select={select} --json")).ok().json();
        (
            summary["kept_update"].as_u64().expect("a number"),
            summary["valid"]["loss"].as_f64().expect("a number"),
        )
    };
    let (best, last) = (kept("best"), kept("last"));
    let validations = workshop.validations("best");
    assert_eq!(validations, workshop.validations("last"));
    let lowest = validations.iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("validations");
    assert_eq!(best, *lowest);
    assert_eq!(last, validations[11]);
    assert_ne!(best.0, last.0, "the test needs a run that gets worse: {validations:?}");
    assert_eq!(kept("lowest_loss"), *lowest);

    // What is kept is that state: its held-out loss, measured from outside, is the lower.
    let adapter = |run: &str| workshop.read(&format!("{run}/adapter_model.safetensors"));
    assert_ne!(adapter("best"), adapter("last"));
    assert_eq!(adapter("best"), adapter("lowest_loss"));
    let epochs = lowest.0 / 5;
    workshop.run(&format!("{command} out=short training.select=last training.epochs={epochs}")).ok();
    assert_eq!(adapter("best"), adapter("short"), "a constant rate does not know the number of epochs");

    let summary = workshop.run(&format!("{command} out=early training.patience=2 --json")).ok().json();
    let validations = workshop.validations("early");
    let updates = summary["updates"].as_u64().expect("a number");
    assert!(updates < 60, "{validations:?}");
    assert_eq!(validations.last().expect("validations").0, updates);
    let kept = summary["kept_update"].as_u64().expect("a number");
    assert_eq!(updates - kept, 10, "two epochs without a better one: {validations:?}");
}

#[test]
fn class_weights_are_those_of_scikit_learn_and_of_training_only() {
    let workshop = Workshop::new();
    workshop.write(
        "weighted.toml",
        format!("class_weighting = \"balanced\"\n{}", workshop.text("mortality.toml")),
    );
    // One update whose rate is 0: its loss is that of the model as published.
    let line = format!(
        "finetune downstream.toml data.valid=mortality.csv training.epochs=1 training.batch_size={NOTES} \
         training.schedule=author_compat adapter.1.dropout=0"
    );
    workshop.run(&format!("{line} out=weighted task=weighted.toml")).ok();
    workshop.run(&format!("{line} out=plain")).ok();
    let evaluate = "evaluate --model base --adapter clinical --adapter weighted --max-tokens 40 --task mortality.toml \
                    --data mortality.csv --out eval --json";
    let metrics = workshop.run(evaluate).ok().json();
    let mut reader = csv::Reader::from_path(workshop.file("eval/predictions.csv")).expect("predictions");
    let nll: Vec<f64> = reader
        .records()
        .zip(0..)
        .map(|(record, i)| {
            let column = if label(i) == "DIE" { 3 } else { 2 };
            -record.expect("a row")[column].parse::<f64>().expect("a number").ln()
        })
        .collect();
    let count = |class: &str| (0..NOTES).filter(|i| label(*i) == class).count() as f64;
    let weight = |i: usize| NOTES as f64 / (2.0 * count(label(i)));
    let weighted: f64 =
        (0..NOTES).map(|i| weight(i) * nll[i]).sum::<f64>() / (0..NOTES).map(weight).sum::<f64>();
    let plain = nll.iter().sum::<f64>() / NOTES as f64;
    assert!((weighted - plain).abs() > 1e-4, "the test needs classes that differ");
    assert_close("balanced", &workshop.updates("weighted", "loss"), &[weighted], 1e-5);
    assert_close("none", &workshop.updates("plain", "loss"), &[plain], 1e-5);
    assert_close("validation", &[workshop.validations("weighted")[0].1], &[plain], 1e-5);
    assert_close("metrics", &[metrics["loss"].as_f64().expect("a number")], &[plain], 1e-5);
}

#[test]
fn a_run_that_diverges_names_the_update_and_the_last_good_checkpoint() {
    let workshop = Workshop::new();
    let line = "pretrain clinical.toml out=wild training.learning_rate=1e6 training.schedule=constant \
                training.checkpoint_minutes=0 training.epochs=20";
    let ended = workshop.run(line);
    assert_eq!(ended.code, Some(1), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(ended.stdout, "");
    let checkpoint = format!("wild/{}", workshop.entries("wild", "checkpoint-")[0]);
    for part in ["error: update ", "not finite", &checkpoint, "lower training.learning_rate"] {
        assert!(ended.stderr.contains(part), "no {part:?} in: {}", ended.stderr);
    }
    let good = values(&workshop.read(&format!("{checkpoint}/trainable.safetensors")));
    assert!(!good.is_empty() && good.iter().all(|v| v.is_finite()), "the checkpoint is good");
    assert!(!workshop.exists("wild/adapter_model.safetensors"), "nothing is published");
    // At the first update there is no checkpoint to name.
    let ended = workshop.run(
        &line.replace("checkpoint_minutes=0", "checkpoint_minutes=10").replace("epochs=20", "batch_size=1"),
    );
    assert_eq!(ended.code, Some(2), "the folder exists: {}", ended.stderr);
    let line = line.replace("out=wild", "out=wilder").replace("checkpoint_minutes=0", "batch_size=1");
    let ended = workshop.run(&line);
    assert_eq!(ended.code, Some(1), "{}", ended.stderr);
    assert!(ended.stderr.contains("no checkpoint had been made yet"), "{}", ended.stderr);
}
