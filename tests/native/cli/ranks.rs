//! Two processes that train together through MPI, on one machine: what they make is what one makes with twice the batch; they
//! stop together, resume together, and none is left behind when one dies. Built and run by `cargo xtask mpi`.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use safetensors::SafeTensors;

use crate::interruption::assert_same_run;
use crate::program::{Ended, Workshop};

/// Without dropout, whose masks follow from a micro-batch's place.
const RUN: &str = "pretrain clinical.toml training.learning_rate=1e-3";

/// The program as two processes.
fn two(workshop: &Workshop, line: &str) -> Command {
    let single = workshop.command(line);
    let mut command = Command::new("mpirun");
    command
        .args(["-n", "2", "--oversubscribe", "--bind-to", "none"])
        .arg(single.get_program())
        .args(single.get_args())
        .current_dir(workshop.path())
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("RAYON_NUM_THREADS", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run_two(workshop: &Workshop, line: &str) -> Ended {
    Ended::of(two(workshop, line).output().expect("mpirun; `cargo xtask mpi` installs it"))
}

/// Values of an adapter, tensor by tensor.
fn adapter(workshop: &Workshop, run: &str) -> Vec<(String, Vec<f32>)> {
    let bytes = workshop.read(&format!("{run}/adapter_model.safetensors"));
    let file = SafeTensors::deserialize(&bytes).expect("an adapter");
    let mut tensors: Vec<_> = file
        .iter()
        .map(|(name, view)| {
            let values = view.data().chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()));
            (name.to_owned(), values.collect())
        })
        .collect();
    tensors.sort_by(|a: &(String, Vec<f32>), b| a.0.cmp(&b.0));
    tensors
}

fn largest_difference(a: &[(String, Vec<f32>)], b: &[(String, Vec<f32>)]) -> f32 {
    assert_eq!(a.len(), b.len(), "as many tensors");
    let pairs = a.iter().zip(b).inspect(|(a, b)| assert_eq!(a.0, b.0));
    pairs.flat_map(|(a, b)| a.1.iter().zip(&b.1)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Starts two processes and waits until their run has logged so many updates; returns them with their numbers.
fn start_two_until(workshop: &Workshop, line: &str, run: &str, lines: usize) -> (Child, Vec<String>) {
    let mut child = two(workshop, line).spawn().expect("mpirun");
    let log = workshop.file(&format!("{run}/run.jsonl"));
    let deadline = Instant::now() + Duration::from_secs(120);
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < lines {
        assert!(Instant::now() < deadline, "no update was made");
        assert!(child.try_wait().expect("its own child").is_none(), "it ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
    let found = Command::new("pgrep").args(["-P", &child.id().to_string()]).output().expect("pgrep");
    let numbers = String::from_utf8(found.stdout).expect("numbers");
    (child, numbers.lines().map(str::to_owned).collect())
}

#[test]
fn two_processes_make_what_one_makes_with_twice_the_batch() {
    let workshop = Workshop::new();
    // 25 notes: the last update of an epoch is of one, which the second process has no part in.
    let two = run_two(&workshop, &format!("{RUN} training.batch_size=3 out=two --json")).ok();
    assert_eq!(two.json()["updates"], 12, "{}", two.stderr);
    assert!(two.stderr.contains("2 processes train together"), "{}", two.stderr);
    workshop.run(&format!("{RUN} training.batch_size=6 out=twice")).ok();
    workshop.run(&format!("{RUN} training.batch_size=3 training.accumulation_steps=2 out=accumulated")).ok();

    workshop.run("pretrain clinical.toml training.learning_rate=1e-30 training.epochs=1 out=fresh").ok();
    let two = adapter(&workshop, "two");
    let moved = largest_difference(&two, &adapter(&workshop, "fresh"));
    assert!(moved > 5e-3, "training moved nothing: {moved}");
    let twice = largest_difference(&two, &adapter(&workshop, "twice"));
    assert!(twice <= 1e-5, "apart from twice the batch by {twice}, where training moved {moved}");
    let accumulated = largest_difference(&two, &adapter(&workshop, "accumulated"));
    assert!(accumulated <= 1e-6, "apart from accumulation by {accumulated}");
    println!("moved {moved}; apart from twice the batch {twice}, from accumulation {accumulated}");
    for key in ["loss", "grad_norm", "tokens"] {
        for (two, twice) in workshop.updates("two", key).iter().zip(&workshop.updates("twice", key)) {
            assert!((two - twice).abs() <= 1e-4 * twice.abs().max(1.0), "{key}: {two} and {twice}");
        }
    }
    assert_eq!(workshop.validations("two").len(), 3);
}

#[test]
fn a_signal_to_one_of_two_stops_both_and_they_resume_to_the_bit() {
    let workshop = Workshop::new();
    let line = format!("{RUN} training.batch_size=2 training.epochs=20");
    run_two(&workshop, &format!("{line} out=whole")).ok();
    let (child, numbers) = start_two_until(&workshop, &format!("{line} out=stopped"), "stopped", 6);
    assert_eq!(numbers.len(), 2, "two processes: {numbers:?}");
    // The second, which does not write: what it was told the first learns.
    Command::new("kill").args(["-TERM", &numbers[1]]).status().expect("kill");
    let ended = Ended::of(child.wait_with_output().expect("ends"));
    assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    assert!(!workshop.exists("stopped/adapter_model.safetensors"), "nothing is published");
    run_two(&workshop, &format!("{line} out=stopped --resume")).ok();
    assert_same_run(&workshop, "whole", "stopped");
    // Alone it would be another run.
    workshop.run(&format!("{line} out=stopped --resume")).refused(&["2 processes"]);
}

#[test]
fn one_that_dies_ends_the_other_and_the_run_goes_on_from_its_checkpoint() {
    let workshop = Workshop::new();
    let line = format!("{RUN} training.batch_size=2 training.epochs=20 training.checkpoint_minutes=0");
    run_two(&workshop, &format!("{line} out=whole")).ok();
    for victim in [1, 0] {
        let run = format!("killed-{victim}");
        let (child, numbers) = start_two_until(&workshop, &format!("{line} out={run}"), &run, 6);
        Command::new("kill").args(["-KILL", &numbers[victim]]).status().expect("kill");
        let killed = Instant::now();
        let ended = Ended::of(child.wait_with_output().expect("ends"));
        assert!(killed.elapsed() < Duration::from_secs(20), "{:?}", killed.elapsed());
        assert_ne!(ended.code, Some(0));
        assert!(ended.stderr.contains("signal 9") || ended.stderr.contains("has died"), "{}", ended.stderr);
        println!("{run}: ended after {:?}", killed.elapsed());
        run_two(&workshop, &format!("{line} out={run} --resume")).ok();
        assert_same_run(&workshop, "whole", &run);
    }
    // A mistake in the input ends both with the status of one.
    let refused = run_two(&workshop, "pretrain clinical.toml data.train=nowhere.jsonl out=refused");
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(refused.stderr.contains("nowhere.jsonl"), "{}", refused.stderr);
}
