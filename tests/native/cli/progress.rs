//! What takes more than two seconds says that it is under way. The notes come through pipes that nobody writes to for a
//! while, so a small command is slow where it is wanted.
#![cfg(unix)]

use std::process::Command;
use std::time::Duration;

use crate::program::{Ended, Workshop};

/// Commands, the pipe each reads, the file whose content comes through it, how often it is read, and what is said.
const SLOW: [(&str, &str, &str, usize, &str); 5] = [
    (
        "perplexity --model base --notes p.jsonl",
        "p.jsonl",
        "notes.jsonl",
        1,
        "perplexity: reading notes and model (2 s)",
    ),
    (
        "predict --model base --adapter downstream --task mortality.toml --notes q.jsonl",
        "q.jsonl",
        "notes.jsonl",
        1,
        "predict: reading notes and model (2 s)",
    ),
    (
        "evaluate --model base --adapter downstream --task mortality.toml --data e.csv --out eval --resamples 9",
        "e.csv",
        "mortality.csv",
        2,
        "evaluate: reading notes and model (2 s)",
    ),
    (
        "pretrain clinical.toml out=p data.train=t.jsonl",
        "t.jsonl",
        "notes.jsonl",
        1,
        "pretrain: reading notes and base (2 s)",
    ),
    (
        "finetune downstream.toml out=f data.train=f.csv",
        "f.csv",
        "mortality.csv",
        1,
        "finetune: reading notes and base (2 s)",
    ),
];

#[test]
fn what_takes_more_than_two_seconds_says_so() {
    let workshop = Workshop::new();
    workshop.run("finetune downstream.toml training.epochs=1").ok();
    let mut children = Vec::new();
    for (line, pipe, ..) in SLOW {
        assert!(Command::new("mkfifo").arg(workshop.file(pipe)).status().expect("mkfifo").success());
        children.push(workshop.command(line).spawn().expect("starts"));
    }
    std::thread::sleep(Duration::from_millis(2800));
    for ((line, pipe, file, times, said), child) in SLOW.into_iter().zip(children) {
        for _ in 0..times {
            std::fs::write(workshop.file(pipe), workshop.read(file)).expect("the program reads");
            // Two readings must not get one content.
            std::thread::sleep(Duration::from_millis(if times > 1 { 300 } else { 0 }));
        }
        let ended = Ended::of(child.wait_with_output().expect("ends")).ok();
        assert!(ended.stderr.contains(said), "{line}: {}", ended.stderr);
    }
    let quick = workshop.run("perplexity --model base --notes notes.jsonl").ok();
    assert_eq!(quick.stderr, "", "what is quick stays quiet");
}
