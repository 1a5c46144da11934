//! Every PEFT method through the whole command line, and a BERT in place of the LLaMA.

use std::fs;

use crate::program::{NOTES, Workshop};

/// `[[adapter]]` keys of each method beside LoRA on the workshop's base of two layers.
const METHODS: [(&str, &str); 5] = [
    ("adaption-prompt", "adapter_len = 4\nadapter_layers = 2"),
    ("prefix", "virtual_tokens = 3"),
    ("prefix", "virtual_tokens = 3\nprojection = true\nencoder_hidden_size = 8"),
    ("prompt", "virtual_tokens = 6\ninit_text = \"Finish this clinical note: \""),
    ("p-tuning", "virtual_tokens = 4\nencoder_hidden_size = 6\nencoder_layers = 2"),
];

fn pretraining(out: &str, method: &str, keys: &str) -> String {
    format!(
        "out = \"{out}\"\nmax_tokens = 40\n\n[base]\npath = \"base\"\n\n[data]\ntrain = \"notes.jsonl\"\n\n\
         [[adapter]]\nname = \"clinical\"\nmethod = \"{method}\"\n{keys}\n\n[training]\nepochs = 6\nbatch_size = 5\n\
         learning_rate = 2e-2\n"
    )
}

#[test]
fn every_method_pretrains_stacks_under_a_lora_and_predicts() {
    let workshop = Workshop::new();
    let perplexity = |adapter: &str| {
        let line = format!("perplexity --model base{adapter} --notes notes.jsonl --max-tokens 40 --json");
        let json = workshop.run(&line).ok().json();
        (json["perplexity"].as_f64().unwrap(), json["tokens"].as_u64().unwrap())
    };
    let (_, tokens) = perplexity("");
    for (i, (method, keys)) in METHODS.iter().enumerate() {
        let out = format!("m{i}");
        workshop.write("recipe.toml", pretraining(&out, method, keys));
        workshop.run("pretrain recipe.toml").ok();
        let losses = workshop.validations(&out);
        assert!(losses.last().unwrap().1 < losses[0].1, "{method}: held-out loss {losses:?}");
        // Virtual tokens make BOS a target of every note.
        let (_, predicted) = perplexity(&format!(" --adapter {out}"));
        let is_prompt = ["prompt", "p-tuning"].contains(method);
        let bos = if is_prompt { NOTES as u64 } else { 0 };
        assert_eq!(predicted, tokens + bos, "{method}");

        let facts = workshop.run(&format!("inspect {out} --json")).ok().json();
        assert_eq!(facts["adapter"]["method"], *method);
        let encoded = *method == "p-tuning" || keys.contains("projection");
        assert_eq!(workshop.exists(&format!("{out}/encoder.safetensors")), encoded, "{method}");
        assert_eq!(facts["adapter"].get("encoder_weights"), None, "{method}");

        // Below a fresh LoRA with a head: trained further, saved beside it, used again.
        let downstream = format!(
            "out = \"d{i}\"\ntask = \"mortality.toml\"\nmax_tokens = 40\n\n[base]\npath = \"base\"\n\n\
             [data]\ntrain = \"mortality.csv\"\n\n[[adapter]]\nname = \"clinical\"\npath = \"{out}\"\n\n\
             [[adapter]]\nname = \"downstream\"\nr = 2\nalpha = 3\n\n[training]\nepochs = 2\nbatch_size = 5\n\
             learning_rate = 1e-2\n"
        );
        workshop.write("downstream.toml", downstream);
        workshop.run("finetune downstream.toml").ok();
        assert_eq!(workshop.exists(&format!("d{i}/clinical/encoder.safetensors")), encoded);
        let line = format!(
            "predict --model base --adapter d{i}/clinical --adapter d{i} --task mortality.toml --notes notes.jsonl \
             --max-tokens 40"
        );
        assert_eq!(workshop.run(&line).ok().json_lines().len(), NOTES, "{method}");
        let merge = format!("merge --model base --adapter {out} --out merged{i}");
        workshop.run(&merge).refused(&["only LoRA can be merged"]);
        assert!(!workshop.exists(&format!("merged{i}")), "nothing half-written");
    }
}

#[test]
fn any_method_trains_a_head_of_its_own() {
    let workshop = Workshop::new();
    for (i, (method, keys)) in METHODS.iter().enumerate() {
        let recipe = format!(
            "out = \"h{i}\"\ntask = \"mortality.toml\"\nmax_tokens = 40\n\n[base]\npath = \"base\"\n\n\
             [data]\ntrain = \"mortality.csv\"\n\n[[adapter]]\nname = \"only\"\nmethod = \"{method}\"\n{keys}\n\n\
             [training]\nepochs = 2\nbatch_size = 5\nlearning_rate = 1e-2\n"
        );
        workshop.write("recipe.toml", recipe);
        workshop.run("finetune recipe.toml").ok();
        let line = format!(
            "evaluate --model base --adapter h{i} --task mortality.toml --data mortality.csv --out e{i} --max-tokens 40 \
             --json"
        );
        let metrics = workshop.run(&line).ok().json();
        assert!(metrics["auroc"].as_f64().is_some(), "{method}: {metrics}");
        let facts = workshop.run(&format!("inspect h{i} --json")).ok().json();
        assert_eq!(facts["adapter"]["head_labels"], 2, "{method}");
    }
}

#[test]
fn table_2_of_the_paper_to_the_digit() {
    let workshop = Workshop::empty();
    for (options, count) in [
        ("lora --r 16", 8_388_608_u64),
        ("adaption-prompt --adapter-len 10 --adapter-layers 30", 1_228_830),
        ("prefix --virtual-tokens 20", 5_242_880),
        ("prompt --virtual-tokens 15", 61_440),
        (
            "p-tuning --virtual-tokens 20 --encoder lstm --encoder-hidden-size 256 --encoder-layers 4",
            16_093_696,
        ),
        ("lora --r 4", 2_097_152),
        ("adaption-prompt", 1_228_830),
        ("prefix --virtual-tokens 10", 2_621_440),
        ("prompt --virtual-tokens 10", 40_960),
        ("p-tuning --virtual-tokens 1 --encoder mlp --encoder-hidden-size 256", 2_171_392),
    ] {
        let line = format!("params --config llama-7b --method {options} --json");
        let counts = workshop.run(&line).ok().json();
        assert_eq!(counts["trainable"], count, "{options}");
        assert_eq!(counts["total"], 6_738_415_616 + count, "{options}");
    }
    for (options, named) in [
        ("prefix --r 4", "has no r"),
        ("lora --virtual-tokens 4", "has no virtual_tokens"),
        ("adaption-prompt --adapter-layers 33", "the model has 32 layers"),
        ("ia3", "p-tuning"),
    ] {
        let line = format!("params --config llama-7b --method {options}");
        workshop.run(&line).refused(&[named]);
    }
}

/// A folder of the golden BERT, old or new.
pub(crate) fn copy_bert(workshop: &Workshop, age: &str) {
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/bert/");
    fs::create_dir(workshop.file(age)).unwrap();
    for entry in fs::read_dir(format!("{golden}{age}")).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), workshop.file(age).join(entry.file_name())).unwrap();
    }
}

#[test]
fn a_bert_of_either_age_is_fine_tuned_evaluated_merged_and_inspected() {
    let workshop = Workshop::with_notes();
    for age in ["old", "model"] {
        copy_bert(&workshop, age);
    }
    let recipe = |out: &str, extra: &str| {
        format!(
            "out = \"{out}\"\ntask = \"mortality.toml\"\nmax_tokens = 40\n{extra}\n[training]\nepochs = 2\nbatch_size = 5\n\
             learning_rate = 1e-3\n\n[base]\npath = \"old\"\n\n[data]\ntrain = \"mortality.csv\"\n"
        )
    };
    let lora = "\n[[adapter]]\nname = \"downstream\"\nr = 3\nalpha = 5\n";
    workshop.write("lora.toml", recipe("lora", lora));
    let told = workshop.run("finetune lora.toml --json").ok();
    assert!(told.stderr.contains("pooler"), "what is frozen is told: {}", told.stderr);
    // Two layers, query and value, 3 x 24 x 2 each; a head of 2 x 24 + 2.
    assert_eq!(told.json()["trainable"], 2 * 2 * 3 * 48 + 50);
    workshop
        .run("finetune lora.toml out=again training.recompute=true")
        .refused(&["training.recompute", "BERT"]);
    assert!(!workshop.exists("again"), "refused before a folder is made");
    workshop.write("full.toml", recipe("full", "method = \"full\"\n"));
    workshop.run("finetune full.toml").ok();

    let predict = |model: &str, adapters: &str| {
        let line = format!(
            "predict --model {model} {adapters} --task mortality.toml --notes notes.jsonl --max-tokens 40"
        );
        workshop.run(&line).ok()
    };
    let old = predict("old", "--adapter lora");
    assert_eq!(old.json_lines().len(), NOTES);
    assert!(old.stderr.is_empty() || !old.stderr.contains("cased"), "{}", old.stderr);
    predict("full", "--adapter full");
    // Evaluation gives the same scores, and says what they are worth.
    let evaluate = "evaluate --model old --adapter lora --task mortality.toml --data mortality.csv --max-tokens 40 --out eval";
    let metrics = workshop.run(&format!("{evaluate} --json")).ok().json();
    assert!(metrics["auroc"].is_number() && metrics["loss"].is_number(), "{metrics}");
    let mut rows = csv::Reader::from_path(workshop.file("eval/predictions.csv")).unwrap();
    let scores: Vec<f64> = rows.records().map(|row| row.unwrap()[3].parse().unwrap()).collect();
    let predicted: Vec<f64> =
        old.json_lines().iter().map(|line| line["scores"]["DIE"].as_f64().unwrap()).collect();
    assert_eq!(scores.len(), predicted.len());
    // A JSON reader may be off by the last bit of a number.
    assert!(scores.iter().zip(&predicted).all(|(a, b)| (a - b).abs() < 1e-15), "{scores:?} {predicted:?}");
    // The same weights in new files; their folder says nothing of lower-casing, so its cased vocabulary is told.
    let new = predict("model", "--adapter lora");
    assert!(new.stderr.contains("the vocabulary is cased"), "{}", new.stderr);
    workshop.write("model/tokenizer_config.json", "{\"do_lower_case\": false}");
    assert_eq!(predict("model", "--adapter lora").stdout, old.stdout);

    workshop.run("merge --model old --adapter lora --out merged").ok();
    let near = |a: &serde_json::Value, b: &serde_json::Value| {
        (a["scores"]["DIE"].as_f64().unwrap() - b["scores"]["DIE"].as_f64().unwrap()).abs() < 1e-5
    };
    let merged = predict("merged", "--adapter merged").json_lines();
    assert!(merged.iter().zip(&old.json_lines()).all(|(a, b)| near(a, b)));

    let facts = workshop.run("inspect old --json").ok().json();
    assert_eq!(facts["base"]["architecture"], "bert");
    let counts = workshop.run("params --config old --method lora --r 3 --json").ok().json();
    assert_eq!(counts["trainable"], 2 * 2 * 3 * 48);
    workshop.run("params --config old --method prefix").refused(&["prefix needs a decoder"]);
    workshop
        .run("perplexity --model old --notes notes.jsonl")
        .refused(&["a BERT, which predicts no next token"]);
    let line = "predict --model old --adapter lora --task mortality.toml --notes notes.jsonl --max-tokens 41";
    workshop.run(line).refused(&["positions for 40"]);
    workshop.write("prefix.toml", recipe("prefix", "\n[[adapter]]\nname = \"p\"\nmethod = \"prefix\"\n"));
    workshop.run("finetune prefix.toml").refused(&["prefix needs a decoder"]);
    assert!(!workshop.exists("prefix"), "nothing half-written");
}
