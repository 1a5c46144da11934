//! What a frozen base makes of the notes: computed once, kept, found again, and computed anew where it is not to be trusted.

use std::process::Child;

use safetensors::SafeTensors;

use crate::program::{Ended, Workshop};

const REUSED: &str = "features of 25 notes are reused";

fn recipe(clinical: &str) -> String {
    format!(
        "out = \"runs/a\"\nmax_tokens = 100\ntask = \"mortality.toml\"\n\n[base]\npath = \"base\"\n\n[data]\n\
         train = \"mortality.csv\"\nvalid_fraction = 0.2\n{clinical}\n[training]\nepochs = 3\nbatch_size = 4\n\
         learning_rate = 1e-2\n"
    )
}

const FROZEN: &str = "\n[[adapter]]\nname = \"clinical\"\npath = \"clinical\"\ntrainable = false\n";

fn head(workshop: &Workshop, run: &str) -> Vec<f32> {
    let bytes = workshop.read(&format!("{run}/head.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("a whole file");
    let weight = file.tensor("score.weight").expect("a head").data().to_vec();
    weight.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("four bytes"))).collect()
}

fn kept(workshop: &Workshop) -> Vec<String> {
    let mut names = workshop.entries("runs/features", "");
    names.sort();
    names
}

#[test]
fn a_second_run_reads_what_the_first_computed_and_learns_the_same() {
    let workshop = Workshop::new();
    for (name, adapters) in [("bare", ""), ("stacked", FROZEN)] {
        workshop.write("recipe.toml", recipe(adapters));
        let run = |out: &str, more: &str| {
            workshop.run(&format!("finetune recipe.toml out=runs/{name}-{out} {more}")).ok()
        };
        let first = run("first", "");
        assert!(!first.stderr.contains("reused"), "{}", first.stderr);
        let second = run("second", "");
        assert!(second.stderr.contains(REUSED), "{}", second.stderr);
        let [of_first, of_second] =
            ["first", "second"].map(|out| head(&workshop, &format!("runs/{name}-{out}")));
        assert_eq!(of_first, of_second);
        // Without them: another way to the same numbers.
        let computed = run("computed", "data.keep_features=false");
        assert!(!computed.stderr.contains("features"), "{}", computed.stderr);
        let of_computed = head(&workshop, &format!("runs/{name}-computed"));
        for (a, b) in of_first.iter().zip(&of_computed) {
            assert!((a - b).abs() < 1e-5, "{a} against {b}");
        }
        for key in ["loss", "grad_norm"] {
            let [a, b] =
                ["second", "computed"].map(|out| workshop.updates(&format!("runs/{name}-{out}"), key));
            assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{key}: {a:?} against {b:?}");
        }
        // Another seed, rate and split of the same notes: the same features.
        let third = run("third", "--seed 9 training.learning_rate=3e-3");
        assert!(third.stderr.contains(REUSED), "{}", third.stderr);
    }
    // Two files: with the adapter and without; nothing half-written beside them.
    assert_eq!(kept(&workshop).len(), 2, "{:?}", kept(&workshop));
    // Whatever the features follow from asks for others.
    workshop.write("recipe.toml", recipe(FROZEN));
    for (i, more) in ["max_tokens=30", "pooling=last_position", "base.path=other"].iter().enumerate() {
        if more.contains("other") {
            workshop.run("pretrain base.toml out=other training.epochs=1 --seed 5").ok();
            workshop.write("recipe.toml", recipe(""));
        }
        let ended = workshop.run(&format!("finetune recipe.toml out=runs/more-{i} {more}")).ok();
        assert!(!ended.stderr.contains("reused"), "{more}: {}", ended.stderr);
        assert_eq!(kept(&workshop).len(), 3 + i, "{more}");
    }
    let elsewhere = workshop.run("finetune recipe.toml out=runs/elsewhere data.features=cache/deep").ok();
    assert!(!elsewhere.stderr.contains("reused") && workshop.entries("cache/deep", "").len() == 1);
}

#[test]
fn damaged_features_are_computed_anew_and_said() {
    let workshop = Workshop::new();
    workshop.write("recipe.toml", recipe(""));
    workshop.run("finetune recipe.toml out=runs/first").ok();
    let names = kept(&workshop);
    let path = format!("runs/features/{}", names[0]);
    let whole = workshop.read(&path);
    let mut flipped = whole.clone();
    let last = flipped.len() - 7;
    flipped[last] ^= 0x10;
    let mut other = whole.clone();
    other[9] = b'[';
    for (i, damaged) in
        [flipped, whole[..whole.len() / 2].to_vec(), Vec::new(), other].into_iter().enumerate()
    {
        workshop.write(&path, damaged);
        let ended = workshop.run(&format!("finetune recipe.toml out=runs/again-{i}")).ok();
        assert!(
            ended.stderr.contains("computed anew") && ended.stderr.contains(&names[0]),
            "{}",
            ended.stderr
        );
        assert_eq!(workshop.read(&path), whole, "the same file again");
        assert_eq!(head(&workshop, &format!("runs/again-{i}")), head(&workshop, "runs/first"));
    }
    assert_eq!(kept(&workshop), names);
}

#[test]
fn processes_that_need_the_same_features_get_in_nobodys_way() {
    let workshop = Workshop::new();
    workshop.write("recipe.toml", recipe(FROZEN));
    let start = |i: usize| -> Child {
        workshop.command(&format!("finetune recipe.toml out=runs/p{i}")).spawn().expect("starts")
    };
    let children: Vec<Child> = (0..4).map(start).collect();
    for child in children {
        Ended::of(child.wait_with_output().expect("ends")).ok();
    }
    let heads: Vec<_> = (0..4).map(|i| head(&workshop, &format!("runs/p{i}"))).collect();
    assert!(heads.iter().all(|other| *other == heads[0]));
    assert_eq!(kept(&workshop).len(), 1, "{:?}", kept(&workshop));
}

#[test]
fn what_is_drawn_anew_or_learned_is_not_kept() {
    let workshop = Workshop::new();
    workshop.run("pretrain clinical.toml out=dropped adapter.0.dropout=0.2 training.epochs=1").ok();
    workshop
        .write("recipe.toml", recipe(&FROZEN.replace("\"clinical\"\ntrainable", "\"dropped\"\ntrainable")));
    let ended = workshop.run("finetune recipe.toml").ok();
    assert!(ended.stderr.contains("dropout 0.2 of the frozen adapter clinical"), "{}", ended.stderr);
    workshop.write("recipe.toml", recipe(&FROZEN.replace("trainable = false", "trainable = true")));
    let ended = workshop.run("finetune recipe.toml out=runs/b").ok();
    assert!(!ended.stderr.contains("features"), "{}", ended.stderr);
    assert!(!workshop.exists("runs/features"));
}
