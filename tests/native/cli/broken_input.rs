//! Notes, tables, recipes and output folders that cannot be used: what, where and the cure, exit status 2, nothing
//! written. That no message holds note text is asserted at every run (`program.rs`).

use std::fs;

use crate::program::{SECRET, Workshop, label, note};

/// Asserts that fine-tuning and evaluating on `data` refuse with all of `parts` and write nothing.
fn table_is_refused(workshop: &Workshop, data: &str, parts: &[&str]) {
    let evaluate = format!(
        "evaluate --model base --adapter clinical --task mortality.toml --data {data} --out fresh/eval"
    );
    for line in [format!("finetune downstream.toml data.train={data} out=fresh/run"), evaluate] {
        workshop.run(&line).refused(parts);
        assert!(!workshop.exists("fresh"), "{line}");
    }
}

#[test]
fn rows_that_are_no_labelled_notes_are_named_by_line() {
    let workshop = Workshop::new();
    let row = |i: usize, label: &str| format!("n{i},\"{}\",{label}\n", note(i));
    let table = |rows: &[String]| format!("id,text,label\n{}", rows.concat());
    let cases = [
        ("empty", table(&[row(0, "DIE"), "n1,\"  \",DIE\n".into()]), "bad.csv:3", "the note is empty"),
        ("label", table(&[row(0, "DIE"), row(1, &format!("{SECRET} died"))]), "bad.csv:3", "NOT_DIE, DIE"),
        ("no label", table(&[row(0, "")]), "bad.csv:2", "NOT_DIE, DIE"),
        ("ids", table(&[row(0, "DIE"), row(1, "DIE"), row(0, "DIE")]), "bad.csv:4", "line 2 already"),
        ("fields", table(&[row(0, "DIE"), row(1, "DIE,1")]), "bad.csv:3", "4 fields where the header has 3"),
        ("no rows", table(&[]), "bad.csv", "holds no note"),
        ("nothing", String::new(), "bad.csv:1", "no column"),
        ("columns", table(&[row(0, "DIE")]).replacen("label", "outcome", 1), "bad.csv:1", "[\"label\"]"),
        ("header", row(0, "DIE") + &row(1, "DIE"), "bad.csv:1", "3 fields do not all look like column names"),
    ];
    for (what, content, place, reason) in cases {
        println!("{what}");
        workshop.write("bad.csv", content);
        table_is_refused(&workshop, "bad.csv", &[place, reason]);
    }
    workshop.edit("bad.csv", "n0", "id");
    let mut bytes = table(&[row(0, "DIE"), row(1, "DIE")]).into_bytes();
    let place = bytes.len() - 12;
    bytes[place] = 0xe9; // Latin-1
    workshop.write("bad.csv", bytes);
    table_is_refused(&workshop, "bad.csv", &["bad.csv:3", "field 2 is not UTF-8"]);
    table_is_refused(&workshop, "nowhere.csv", &["nowhere.csv"]);
    workshop.write("bad.csv", table(&[row(0, "DIE"), row(1, "NOT_DIE")]).replacen("id", "number", 1));
    table_is_refused(&workshop, "bad.csv", &["bad.csv:1", "[\"id\"]", "\"number\", \"text\", \"label\""]);
}

#[test]
fn lines_that_are_no_notes_are_named() {
    let workshop = Workshop::new();
    let line = |i: usize| serde_json::json!({"id": i, "text": note(i)}).to_string() + "\n";
    let cases = [
        (format!("{}{{\"id\": 2, \"text\": \"{SECRET}", line(1)), "bad.jsonl:2", "column"),
        (format!("{}{{\"id\": 2, \"text\": \" \"}}", line(1)), "bad.jsonl:2", "--skip-empty"),
        (format!("{}{{\"id\": 2}}", line(1)), "bad.jsonl:2", "id"),
        (format!("{{\"id\": [\"{SECRET}\"], \"text\": \"x\"}}"), "bad.jsonl:1", "id is neither"),
        (format!("{}\n{}{}", line(1), line(2), line(1)), "bad.jsonl:4", "line 1 already"),
        ("\n\n".to_owned(), "bad.jsonl", "holds no note"),
    ];
    for (content, place, reason) in cases {
        workshop.write("bad.jsonl", content);
        workshop.run("pretrain clinical.toml data.train=bad.jsonl out=fresh/run").refused(&[place, reason]);
        workshop.run("perplexity --model base --notes bad.jsonl").refused(&[place, reason]);
        assert!(!workshop.exists("fresh"));
    }
    workshop.write("bad.jsonl", [line(1).as_bytes(), b"\xff"].concat());
    workshop.run("perplexity --model base --notes bad.jsonl").refused(&["bad.jsonl", "not UTF-8 at byte"]);
    workshop.write("bad.jsonl", format!("{}{{\"id\": 2, \"text\": \"\"}}\n", line(1)));
    let ended = workshop.run("perplexity --model base --notes bad.jsonl --skip-empty").ok();
    assert!(ended.stderr.contains("1 empty notes left out"), "{}", ended.stderr);
    assert_eq!(ended.json()["notes"], 1);
}

#[test]
fn files_written_on_windows_are_read_alike() {
    let workshop = Workshop::new();
    workshop.run("finetune downstream.toml out=unix").ok();
    let marked = |name: &str| format!("\u{feff}{}", workshop.text(name).replace('\n', "\r\n"));
    for name in ["mortality.csv", "mortality.toml", "downstream.toml", "notes.jsonl"] {
        let content = marked(name);
        workshop.write(name, content);
    }
    workshop.run("finetune downstream.toml out=windows").ok();
    let weights = |run: &str| workshop.read(&format!("{run}/adapter_model.safetensors"));
    assert_eq!(weights("unix"), weights("windows"));
    workshop.run("perplexity --model base --notes notes.jsonl").ok();
}

#[test]
fn a_recipe_that_says_something_wrong_is_refused_at_its_line() {
    let workshop = Workshop::new();
    for (from, to, parts) in [
        (
            "epochs",
            "epoch",
            ["clinical.toml:17", "unknown field `epoch`, expected one of `epochs`", "learning_rate"],
        ),
        ("epochs = 3", "epochs = 0", ["clinical.toml:17", "training.epochs = 0", "at least 1"]),
        ("epochs = 3", "epochs = \"three\"", ["clinical.toml:17", "invalid type", "u64"]),
        ("epochs = 3", "epochs = ", ["clinical.toml:17", "", ""]),
        ("epochs = 3", "epochs = 3\npatience = 0", ["clinical.toml:18", "training.patience", "at least 1"]),
        ("1e-2", "-1e-2", ["clinical.toml:19", "training.learning_rate", "above 0"]),
        ("1e-2", "nan", ["clinical.toml:19", "training.learning_rate", "above 0"]),
        ("r = 3", "r = 0", ["clinical.toml:10", "r = 0", "rank of at least 1"]),
        ("alpha = 5", "alpha = 5\ndropout = 1.0", ["clinical.toml:10", "dropout", "[0, 1)"]),
        ("\"q_proj\"", "\"query\"", ["clinical", "query", ""]),
        ("r = 3", "rank = 3", ["clinical.toml:12", "unknown field `rank`", "`alpha`"]),
        ("name = \"clinical\"", "name = \"a/b\"", ["clinical.toml:11", "adapter.0.name", "letters"]),
        ("max_tokens = 40", "max_tokens = 1", ["clinical.toml:2", "max_tokens", "at least 2"]),
        ("max_tokens = 40", "task = \"mortality.toml\"", ["clinical.toml:2", "task", "clinlora finetune"]),
        ("max_tokens = 40", "method = \"prefix\"", ["clinical.toml:2", "unknown variant", "peft"]),
    ] {
        let workshop = Workshop::new();
        println!("{to}");
        workshop.edit("clinical.toml", from, to);
        workshop.run("pretrain clinical.toml out=fresh/run").refused(&parts);
        assert!(!workshop.exists("fresh"), "{to}");
    }
    for (change, key) in [
        ("hidden_size=25", "hidden_size"),
        ("hidden_size=12", "hidden_size"),
        ("num_attention_heads=0", "num_attention_heads"),
        ("num_key_value_heads=3", "num_key_value_heads"),
        ("vocab_size=100", "vocabulary"),
        ("intermediate_size=99999999999", "intermediate_size"),
    ] {
        workshop.run(&format!("pretrain base.toml out=fresh/run base.scratch.{change}")).refused(&[key]);
    }
    workshop
        .run("pretrain base.toml out=fresh/run dtype=bf16")
        .refused(&["dtype", "one that is trained is f32"]);
    assert!(!workshop.exists("fresh"));
    workshop.run("finetune clinical.toml out=fresh/run").refused(&["task", "is missing"]);
    workshop.run("pretrain nowhere.toml").refused(&["nowhere.toml"]);
    // A file given by mistake is not repeated.
    workshop.run("pretrain mortality.csv").refused(&["mortality.csv:1"]);
    workshop
        .run("evaluate --model base --task notes.jsonl --data mortality.csv --out fresh")
        .refused(&["notes.jsonl"]);
}

#[test]
fn an_override_that_says_something_wrong_is_named() {
    let workshop = Workshop::new();
    for (assignment, parts) in [
        ("training.epochs", ["\"training.epochs\"", "key=value"]),
        ("training.epochs=0", ["\"training.epochs=0\"", "at least 1"]),
        ("training.epochz=3", ["training.epochz=3", "unknown field `epochz`"]),
        ("training.epochs=many", ["training.epochs=many", "invalid type"]),
        ("adapter.7.r=3", ["adapter.7.r=3", "\"7\""]),
        ("adapter.0.r=-1", ["adapter.0.r=-1", "invalid value"]),
        ("adapter.0.alpha=inf", ["adapter.0.alpha=inf", "finite"]),
        ("out.x=1", ["out.x=1", "\"out\""]),
    ] {
        println!("{assignment}");
        workshop.run(&format!("pretrain clinical.toml out=fresh/run {assignment}")).refused(&parts);
        assert!(!workshop.exists("fresh"), "{assignment}");
    }
}

#[test]
fn a_folder_that_exists_is_replaced_only_when_told_and_only_if_it_is_ours() {
    let workshop = Workshop::new();
    let evaluate = "evaluate --model base --adapter clinical --adapter run --max-tokens 40 --task mortality.toml \
                    --data mortality.csv --resamples 10";
    workshop.run("finetune downstream.toml out=run training.epochs=1").ok();
    let lines = [
        "finetune downstream.toml training.epochs=1 out=",
        &format!("{evaluate} --out "),
        "merge --model base --adapter clinical --out ",
    ];
    for line in lines {
        let out = format!("{line}there");
        workshop.run(&out).ok();
        let before = workshop.entries("there", "");
        workshop.run(&out).refused(&["there exists", "--overwrite"]);
        assert_eq!(workshop.entries("there", ""), before);
        workshop.write("there/left-over", "x");
        workshop.run(&format!("{out} --overwrite")).ok();
        assert!(!workshop.exists("there/left-over"), "{line}");

        // A home, a file, a link: not ours.
        fs::create_dir_all(workshop.file("home")).expect("writable");
        workshop.write("home/config.json", "{}");
        workshop.run(&format!("{line}home --overwrite")).refused(&["home", "not a folder this program made"]);
        workshop.run(&format!("{line}mortality.csv --overwrite")).refused(&["not a folder"]);
        assert_eq!(workshop.text("home/config.json"), "{}");
        // Nor one that holds what the command reads.
        let ours = workshop.read("base/.clinlora");
        workshop.write(".clinlora", ours);
        workshop.run(&format!("{line}. --overwrite")).refused(&["which this command reads"]);
        workshop
            .run(&format!("{line}base --overwrite"))
            .refused(&["base holds base, which this command reads"]);
        fs::remove_file(workshop.file(".clinlora")).expect("there");
        fs::remove_dir_all(workshop.file("there")).expect("there");
    }
    assert_eq!(workshop.entries("", ".clinlora"), [""; 0]);
}

#[test]
fn a_mistake_in_the_inputs_does_not_cost_the_folder_to_be_replaced() {
    let workshop = Workshop::new();
    let before = workshop.read("clinical/adapter_model.safetensors");
    workshop.write("bad.jsonl", "{\"id\": 1, \"text\": \"\"}\n");
    for wrong in
        ["data.train=bad.jsonl", "base.path=nowhere", "adapter.0.target_modules=[\"query\"]", "adapter.0.r=0"]
    {
        workshop.run(&format!("pretrain clinical.toml {wrong} --overwrite")).refused(&[]);
        assert_eq!(workshop.read("clinical/adapter_model.safetensors"), before, "{wrong}");
    }
    workshop.run("pretrain clinical.toml training.epochs=1 --overwrite").ok();
    assert_ne!(workshop.read("clinical/adapter_model.safetensors"), before);
}

#[test]
fn a_single_class_and_a_lonely_note_are_refused_where_they_cannot_be_used() {
    let workshop = Workshop::new();
    let all: String = (0..6).map(|i| format!("n{i},\"{}\",DIE\n", note(i))).collect();
    workshop.write("one.csv", format!("id,text,label\n{all}"));
    workshop.write(
        "weighted.toml",
        format!("class_weighting = \"balanced\"\n{}", workshop.text("mortality.toml")),
    );
    workshop
        .run("finetune downstream.toml data.train=one.csv task=weighted.toml out=fresh")
        .refused(&["no training note", "NOT_DIE"]);
    workshop.write("one.csv", format!("id,text,label\nn0,\"{}\",{}\n", note(0), label(0)));
    workshop.run("finetune downstream.toml data.train=one.csv out=fresh").refused(&["one.csv", "data.valid"]);
    assert!(!workshop.exists("fresh"));
}
