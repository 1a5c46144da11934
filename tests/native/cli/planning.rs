//! `plan` and `bench`: what they foretell, and what they measure.

use std::fmt::Write;

use crate::program::Workshop;

/// Wide enough that the memory of a step stands out of that of the program.
const WIDE: &str = "out = \"wide\"\nmax_tokens = 16\nmethod = \"full\"\n\n[base.scratch]\nvocab_size = 300\n\
hidden_size = 256\nintermediate_size = 704\nnum_hidden_layers = 4\nnum_attention_heads = 4\n\
num_key_value_heads = 2\n\n[data]\ntrain = \"notes.jsonl\"\n\n[training]\nepochs = 1\nlearning_rate = 1e-3\n";

const LORA: &str = "out = \"run\"\nmax_tokens = 128\n\n[base]\npath = \"wide\"\n\n[data]\ntrain = \"notes.jsonl\"\n\n\
[[adapter]]\nname = \"clinical\"\nr = 8\n\n[training]\nepochs = 3\nlearning_rate = 1e-3\nbatch_size = 10\n";

#[test]
fn planned_memory_is_within_a_tenth_of_measured() {
    if !cfg!(target_os = "linux") {
        eprintln!("skipped: only Linux says how much memory a process took");
        return;
    }
    let workshop = Workshop::new();
    workshop.write("wide.toml", WIDE);
    workshop.write("lora.toml", LORA);
    workshop.run("pretrain wide.toml").ok();
    let (mut table, mut peaks) = (String::new(), Vec::new());
    for shape in [
        "training.batch_size=16",
        "training.batch_size=32",
        "training.batch_size=8 max_tokens=300",
        "training.batch_size=32 training.recompute=true",
        "training.batch_size=16 adapter.0.target_modules=[\"q_proj\",\"o_proj\",\"up_proj\",\"down_proj\"]",
    ] {
        let plan = workshop.run(&format!("plan lora.toml {shape} --json")).ok().json();
        let of = |value: &serde_json::Value| value.as_f64().expect("a number");
        let (planned, measured) = (of(&plan["planned"]["total"]), of(&plan["measured_bytes"]));
        let apart = planned / measured - 1.0;
        peaks.push(measured);
        writeln!(table, "{shape}: planned {planned}, measured {measured}, {:+.1} %", 100.0 * apart).unwrap();
        assert!(apart.abs() <= 0.1, "{table}");
        assert!(of(&plan["step_s"]) > 0.0 && of(&plan["floor_step_s"]) > 0.0 && of(&plan["hours"]) > 0.0);
        assert_eq!(plan["fits"], true);
        // As many as fit would take about what is available.
        let largest = of(&plan["largest_batch"]) * of(&plan["bytes_per_note"]);
        let available = of(&plan["available_bytes"]);
        assert!((0.5..=1.0).contains(&(largest / available)), "{largest} of {available}");
    }
    println!("{table}");
    assert!(1.3 * peaks[3] < peaks[1], "recomputing takes less: {table}");
    assert!(!workshop.exists("run"), "planning writes nothing");
}

#[test]
fn a_plan_says_what_does_not_fit_and_what_would() {
    let workshop = Workshop::new();
    let plan = |more: &str| workshop.run(&format!("plan clinical.toml {more}"));
    let tight = plan("--memory-gib 0.000001 --json").ok().json();
    assert_eq!((&tight["fits"], &tight["largest_batch"]), (&false.into(), &0.into()));
    assert!(plan("--memory-gib 0.000001").ok().stdout.contains("does NOT fit"));
    assert!(plan("--memory-gib 1024").ok().stdout.contains("fits in"));
    plan("--memory-gib 0").refused(&["--memory-gib"]);
    // A downstream recipe is known by its task.
    let downstream = workshop.run("plan downstream.toml --json").ok().json();
    assert!(downstream["trained_values"].as_u64().unwrap() > 0);
}

#[test]
fn a_benchmark_trains_and_says_so() {
    let workshop = Workshop::new();
    let line = "bench train --preset tiny --batch 2 --seq 16 --steps 3 --warmup 1";
    let json = workshop.run(line).ok().json();
    // Queries and values of two layers, 64 wide, rank 16.
    assert_eq!(json["trainable"], 2 * 2 * 16 * (64 + 64));
    let losses: Vec<f64> = json["loss"].as_array().unwrap().iter().map(|l| l.as_f64().unwrap()).collect();
    assert_eq!(losses.len(), 4);
    let uniform = 1024.0_f64.ln();
    assert!(losses.iter().all(|loss| (loss - uniform).abs() < 0.5), "random tokens: {losses:?}");
    for key in [
        "tokens_per_s",
        "step_s_median",
        "tflops",
        "grad_norm",
        "matmul_tflops",
        "share_of_peak",
        "share_of_floor",
    ] {
        let number = json[key].as_f64().unwrap();
        assert!(number.is_finite() && number > 0.0, "{key}: {number}");
    }
    let again = workshop.run(line).ok().json();
    assert_eq!(again["loss"], json["loss"], "seeded");
    let forward = workshop.run(&line.replace("train", "predict")).ok().json();
    assert_eq!((&forward["what"], forward["grad_norm"].is_null()), (&"predict".into(), true));
    workshop.run("bench train --preset tiny --batch 0").refused(&["--batch"]);
}
