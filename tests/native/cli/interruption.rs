//! Signals, kills and full disks: what is left can be resumed, and then nothing tells the run from one that was never
//! stopped.
#![cfg(unix)]

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Ended, Workshop};

/// A run of some hundred short updates, a checkpoint after each.
const LONG: &str =
    "pretrain clinical.toml training.epochs=24 training.checkpoint_minutes=0 training.learning_rate=1e-3";

/// Files that say everything of a finished run.
const FILES: [&str; 3] = ["adapter_model.safetensors", "optimizer.safetensors", "state.json"];

/// A trained folder with the finished run `whole`.
fn with_whole_run() -> Workshop {
    let workshop = Workshop::new();
    workshop.run(&format!("{LONG} out=whole")).ok();
    workshop
}

/// Asserts that `run`, however often it was stopped, is `whole`, which never was.
pub(crate) fn assert_same_run(workshop: &Workshop, whole: &str, run: &str) {
    for file in FILES {
        let (whole, resumed) =
            (workshop.read(&format!("{whole}/{file}")), workshop.read(&format!("{run}/{file}")));
        // The recipes, and so their hashes, differ in the folder's name.
        if file == "state.json" {
            let drop_hash = |bytes: Vec<u8>| {
                let mut state: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
                state.as_object_mut().expect("an object").remove("recipe_sha256").expect("a hash");
                state
            };
            assert_eq!(drop_hash(whole), drop_hash(resumed), "{file}");
        } else {
            assert_eq!(whole, resumed, "{file}");
        }
    }
    for key in ["step", "loss", "lr", "grad_norm", "tokens"] {
        assert_eq!(workshop.updates(whole, key), workshop.updates(run, key), "{key}");
    }
    assert_eq!(workshop.validations(whole), workshop.validations(run));
    assert_eq!(workshop.entries(run, ".clinlora-"), [""; 0], "nothing half-written is left");
    for prefix in ["checkpoint-", "best-"] {
        let sorted = |run: &str| {
            let mut names = workshop.entries(run, prefix);
            names.sort();
            names
        };
        assert_eq!(sorted(whole), sorted(run));
    }
}

/// Starts the program and waits until its run has logged so many lines.
pub(crate) fn start_until(workshop: &Workshop, line: &str, run: &str, lines: usize) -> Child {
    let mut child = workshop.command(line).spawn().expect("starts");
    let log = workshop.file(&format!("{run}/run.jsonl"));
    let deadline = Instant::now() + Duration::from_secs(120);
    while std::fs::read_to_string(&log).map_or(0, |text| text.lines().count()) < lines {
        assert!(Instant::now() < deadline, "no update was made");
        if child.try_wait().expect("its own child").is_some() {
            let ended = Ended::of(child.wait_with_output().expect("ended"));
            panic!("it ended before it could be stopped: {:?} {}", ended.code, ended.stderr);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

pub(crate) fn send(child: &Child, signal: &str) {
    let status = Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(status.expect("kill").success());
}

#[test]
fn a_signal_finishes_the_update_saves_and_can_be_resumed_to_the_bit() {
    let workshop = with_whole_run();
    for (signal, code, run) in [("-INT", 130, "int"), ("-TERM", 143, "term"), ("-HUP", 129, "hup")] {
        // Checkpoints at the ends of epochs only: the one in between is the signal's.
        let line = format!("{LONG} training.checkpoint_minutes=60 out={run}");
        let child = start_until(&workshop, &line, run, 8);
        send(&child, signal);
        let ended = Ended::of(child.wait_with_output().expect("ends"));
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(ended.stderr.contains("stopping after this update"), "{}", ended.stderr);
        assert!(ended.stderr.contains("continue with --resume"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "", "an interrupted run has no result");
        assert!(!workshop.exists(&format!("{run}/adapter_model.safetensors")), "nothing is published");
        let done = workshop.updates(run, "step").len();
        assert!((8..120).contains(&done), "{done} updates");
        workshop.run(&format!("{line} --resume")).ok();
        assert_same_run(&workshop, "whole", run);
    }
}

#[test]
fn a_kill_at_any_moment_can_be_resumed_to_the_bit() {
    let workshop = with_whole_run();
    let line = format!("{LONG} out=killed");
    let mut resume = "";
    for lines in [1, 6, 19, 20, 47, 61] {
        let mut child = start_until(&workshop, &format!("{line} {resume}"), "killed", lines);
        child.kill().expect("SIGKILL");
        child.wait().expect("killed");
        resume = "--resume";
    }
    workshop.run(&format!("{line} --resume")).ok();
    assert_same_run(&workshop, "whole", "killed");
    // A finished run can be resumed too: nothing changes.
    workshop.run(&format!("{line} --resume")).ok();
    assert_same_run(&workshop, "whole", "killed");
}

#[test]
fn a_kill_before_the_first_checkpoint_begins_anew() {
    let workshop = Workshop::new();
    // 22 updates before the first checkpoint.
    let line = "pretrain clinical.toml training.batch_size=1 training.epochs=2";
    workshop.run(&format!("{line} out=whole")).ok();
    let line = format!("{line} out=early");
    let mut child = start_until(&workshop, &line, "early", 1);
    child.kill().expect("SIGKILL");
    child.wait().expect("killed");
    assert_eq!(workshop.entries("early", "checkpoint-"), [""; 0]);
    let ended = workshop.run(&format!("{line} --resume")).ok();
    assert!(ended.stderr.contains("it begins anew"), "{}", ended.stderr);
    assert_same_run(&workshop, "whole", "early");
}

#[test]
fn what_a_kill_may_leave_half_done_is_cleared_up() {
    let workshop = with_whole_run();
    let line = format!("{LONG} out=left");
    let child = start_until(&workshop, &line, "left", 12);
    send(&child, "-INT");
    child.wait_with_output().expect("ends");
    // Killed while writing a checkpoint; after the best values of a later epoch, before their checkpoint; before the older
    // checkpoint was removed; in the middle of a line of the log, after lines of updates that must be made again.
    std::fs::create_dir(workshop.file("left/.clinlora-half")).expect("writable");
    workshop.write("left/.clinlora-half/trainable.safetensors", "half");
    workshop.write("left/.clinlora-file", "half");
    workshop.write("left/best-00000115.safetensors", "another state");
    std::fs::create_dir(workshop.file("left/checkpoint-0000-00000001")).expect("writable");
    let later = workshop.text("whole/run.jsonl");
    let later: Vec<&str> = later.lines().skip(workshop.log("left").len()).take(9).collect();
    let log = format!("{}{}\n{}", workshop.text("left/run.jsonl"), later.join("\n"), "{\"step\": 9");
    workshop.write("left/run.jsonl", log);
    workshop.run(&format!("{line} --resume")).ok();
    assert_same_run(&workshop, "whole", "left");
}

#[test]
fn fine_tuning_with_dropout_resumes_to_the_bit_too() {
    let workshop = Workshop::new();
    let line =
        "finetune downstream.toml training.epochs=30 adapter.0.trainable=true training.checkpoint_minutes=60";
    workshop.run(&format!("{line} out=whole")).ok();
    let line = format!("{line} out=stopped");
    for (lines, resume) in [(7, ""), (33, "--resume")] {
        let child = start_until(&workshop, &format!("{line} {resume}"), "stopped", lines);
        send(&child, "-TERM");
        let ended = Ended::of(child.wait_with_output().expect("ends"));
        assert_eq!(ended.code, Some(143), "{}", ended.stderr);
    }
    workshop.run(&format!("{line} --resume")).ok();
    assert_same_run(&workshop, "whole", "stopped");
    let clinical = |run: &str| workshop.read(&format!("{run}/clinical/adapter_model.safetensors"));
    assert_eq!(clinical("whole"), clinical("stopped"));
}

#[test]
fn resuming_what_is_not_that_run_is_refused() {
    let workshop = Workshop::new();
    workshop.run("pretrain clinical.toml --resume out=nowhere").refused(&[
        "nowhere",
        "no run to resume",
        "without --resume",
    ]);
    workshop
        .run("pretrain clinical.toml --resume training.learning_rate=2e-2 training.patience=7 adapter.0.alpha=4")
        .refused(&[
            "recipe has changed",
            "training.learning_rate: 0.01 -> 0.02",
            "training.patience: not given -> 7",
            "adapter.0.alpha: 5.0 -> 4.0",
            "--accept-changed-recipe",
        ]);
    workshop
        .run("pretrain clinical.toml --resume --accept-changed-recipe --seed 8")
        .refused(&["seed 1234", "order of its notes"]);
    workshop
        .run("pretrain clinical.toml --resume --accept-changed-recipe adapter.0.r=4")
        .refused(&["not the state of this run"]);
    workshop.run("pretrain clinical.toml --resume").ok();
    let notes = workshop.text("notes.jsonl");
    workshop.write("notes.jsonl", notes.lines().skip(1).map(|line| format!("{line}\n")).collect::<String>());
    workshop.run("pretrain clinical.toml --resume").refused(&["training notes", "give it the old file"]);
    workshop.write("notes.jsonl", notes);
    let checkpoint = format!("clinical/{}", workshop.entries("clinical", "checkpoint-")[0]);
    let optimizer = workshop.read(&format!("{checkpoint}/optimizer.safetensors"));
    // Written anew, not in place: the run's own file is a link to it.
    std::fs::remove_file(workshop.file(&format!("{checkpoint}/optimizer.safetensors"))).expect("there");
    workshop.write(&format!("{checkpoint}/optimizer.safetensors"), &optimizer[..optimizer.len() / 2]);
    workshop.run("pretrain clinical.toml --resume").refused(&[&checkpoint, "--overwrite"]);
}

#[test]
fn a_changed_recipe_can_be_accepted_and_that_is_logged() {
    let workshop = Workshop::new();
    let line = format!("{LONG} out=longer");
    let child = start_until(&workshop, &line, "longer", 12);
    send(&child, "-INT");
    child.wait_with_output().expect("ends");
    let done = workshop.updates("longer", "step").len();
    let line = line.replace("1e-3", "2e-3").replace("epochs=24", "epochs=26");
    workshop.run(&format!("{line} --resume")).refused(&["training.epochs: 24 -> 26"]);
    workshop.run(&format!("{line} --accept-changed-recipe")).refused(&["--resume"]);
    let ended = workshop.run(&format!("{line} --resume --accept-changed-recipe")).ok();
    assert!(ended.stderr.contains("training.learning_rate: 0.001 -> 0.002"), "{}", ended.stderr);
    let steps = workshop.updates("longer", "step");
    assert_eq!(steps, (1..=26 * 5).map(f64::from).collect::<Vec<_>>());
    let rates = workshop.updates("longer", "lr");
    assert!(rates[done] > 1.5 * rates[done - 1], "the new rate holds from the next update on: {rates:?}");
    assert!(workshop.text("longer/recipe.toml").contains("epochs = 26"));
    let logged = workshop.run("audit longer --json").ok().json();
    let events: Vec<&str> = logged["logs"][0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["begun", "interrupted", "recipe changed", "resumed", "finished"]);
    let differences = &logged["logs"][0]["lines"][2]["details"]["differences"];
    assert_eq!(differences[0], "training.epochs: 24 -> 26");
    // What holds now needs no flag any more.
    workshop.run(&format!("{line} --resume")).ok();
}

#[test]
fn the_last_checkpoints_are_kept_and_any_of_them_can_be_resumed() {
    let workshop = with_whole_run();
    let line = format!("{LONG} out=kept training.keep_last=3");
    let child = start_until(&workshop, &line, "kept", 40);
    send(&child, "-INT");
    child.wait_with_output().expect("ends");
    let mut checkpoints = workshop.entries("kept", "checkpoint-");
    checkpoints.sort_by_key(|name| name.rsplit('-').next().unwrap().to_owned());
    assert_eq!(checkpoints.len(), 3);
    // The newest is damaged, as by a failing disk.
    let newest = format!("kept/{}", checkpoints[2]);
    std::fs::remove_file(workshop.file(&format!("{newest}/trainable.safetensors"))).expect("there");
    workshop.write(&format!("{newest}/trainable.safetensors"), "damaged");
    workshop.run(&format!("{line} --resume")).refused(&[&newest, "delete that checkpoint"]);
    std::fs::remove_dir_all(workshop.file(&newest)).expect("there");
    workshop.run(&format!("{line} --resume")).ok();
    assert_eq!(workshop.entries("kept", "checkpoint-").len(), 3);
    assert_eq!(workshop.updates("whole", "loss"), workshop.updates("kept", "loss"));
    let adapter = |run: &str| workshop.read(&format!("{run}/adapter_model.safetensors"));
    assert_eq!(adapter("whole"), adapter("kept"));
    workshop
        .run("pretrain clinical.toml out=none training.keep_last=0")
        .refused(&["keep_last", "at least 1"]);
}

/// A signal while there is nothing to save: the tables come through a pipe, which holds the program where it is wanted.
#[test]
fn a_signal_to_prepare_leaves_nothing_behind() {
    let workshop = Workshop::empty();
    std::fs::create_dir(workshop.file("note")).expect("writable");
    let pipe = workshop.file("note/discharge.csv");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
    let header = "note_id,subject_id,hadm_id,note_type,note_seq,charttime,storetime,text\n";
    workshop.write("note/radiology.csv", header);
    for (signal, code) in [("-INT", 130), ("-TERM", 143)] {
        let child = workshop.command("prepare notes --mimic4-note note --out notes").spawn().expect("starts");
        // Opening waits for the reader, which listens for signals by then.
        let mut table = std::fs::OpenOptions::new().write(true).open(&pipe).expect("the program reads");
        std::io::Write::write_all(&mut table, header.as_bytes()).expect("it is read");
        send(&child, signal);
        let mut row = 0;
        let write = |table: &mut std::fs::File, row: u64| {
            let line =
                format!("{row}-DS-1,{row},,DS,1,2151-07-16 10:00:00,,\"{}\"\n", crate::program::note(3));
            std::io::Write::write_all(table, line.as_bytes())
        };
        while row < 20_000 && write(&mut table, row).is_ok() {
            row += 1;
        }
        drop(table);
        let ended = Ended::of(child.wait_with_output().expect("ends"));
        assert_eq!(ended.code, Some(code), "{}", ended.stderr);
        assert!(row < 20_000, "it stopped reading");
        assert!(ended.stderr.contains("nothing was written"), "{}", ended.stderr);
        assert!(!workshop.exists("notes"));
        assert_eq!(workshop.entries("", ".clinlora"), [""; 0]);
    }
}

#[test]
fn what_the_parent_ignores_stays_ignored() {
    let workshop = Workshop::new();
    let line = "pretrain clinical.toml out=nohup training.epochs=8";
    let mut child = shell(&workshop, "trap '' HUP; exec \"$@\"", line);
    let log = workshop.file("nohup/run.jsonl");
    while !log.exists() {
        assert!(child.try_wait().expect("its own child").is_none(), "it ended early");
        std::thread::sleep(Duration::from_millis(2));
    }
    send(&child, "-HUP");
    Ended::of(child.wait_with_output().expect("ends")).ok();
}

/// Runs the program through a shell script that `exec`s `"$@"`.
fn shell(workshop: &Workshop, script: &str, line: &str) -> Child {
    let program = workshop.command(line);
    Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(workshop.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("sh")
}

/// The run failed for want of room, and its last checkpoint is whole: resuming with room gives the run `whole`.
fn assert_resumable(workshop: &Workshop, ended: &Ended, run: &str, line: &str) {
    assert_eq!(ended.code, Some(2), "{}", ended.stderr);
    assert!(ended.stderr.contains("make room") && ended.stderr.contains("--resume"), "{}", ended.stderr);
    assert!(!workshop.exists(&format!("{run}/adapter_model.safetensors")), "nothing is published");
    assert_eq!(workshop.entries(run, "checkpoint-").len(), 1, "the last good checkpoint");
    assert_eq!(workshop.entries(run, ".clinlora-"), [""; 0], "nothing half-written is left");
    workshop.run(&format!("{line} --resume")).ok();
    assert_same_run(workshop, "whole", run);
}

#[test]
fn a_run_at_its_file_size_limit_keeps_its_last_checkpoint() {
    let workshop = with_whole_run();
    let line = format!("{LONG} out=limited");
    // 12 KiB: room for the checkpoint, and for some fifty lines of the log. With the signal ignored, the write fails.
    let ended = shell(&workshop, "trap '' XFSZ; ulimit -f 24; exec \"$@\"", &line).wait_with_output();
    let ended = Ended::of(ended.expect("ends"));
    assert_resumable(&workshop, &ended, "limited", &line);
}

#[test]
fn a_run_on_a_full_disk_keeps_its_last_checkpoint() {
    let workshop = with_whole_run();
    let line = format!("{LONG} out=disk/full");
    std::fs::create_dir(workshop.file("disk")).expect("writable");
    // A disk of its own in a namespace of its own, which takes root; what is left on it is copied out.
    let script = "mount -t tmpfs -o size=96k none disk || exit 99; \"$@\"; code=$?; df disk >&2; cp -a disk/full kept; exit $code";
    let program = workshop.command(&line);
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script, "sh"])
        .arg(program.get_program())
        .args(program.get_args())
        .current_dir(workshop.path())
        .output();
    let ended = match output {
        Ok(output) if output.status.code() != Some(99) && workshop.exists("kept") => Ended::of(output),
        _ => {
            println!("skipped: no tmpfs can be mounted here; the file size limit stands in for it");
            return;
        }
    };
    assert!(ended.stderr.contains("No space left"), "{}", ended.stderr);
    std::fs::rename(workshop.file("kept"), workshop.file("disk/full")).expect("writable");
    assert_resumable(&workshop, &ended, "disk/full", &line);
}

#[test]
fn a_full_disk_leaves_no_evaluation_and_no_merged_model() {
    let workshop = Workshop::new();
    workshop.run("finetune downstream.toml training.epochs=1").ok();
    let evaluate = "evaluate --model base --adapter clinical --adapter downstream --max-tokens 40 --task mortality.toml \
                    --data mortality.csv --out out";
    for line in [evaluate, "merge --model base --adapter clinical --out out"] {
        let child = shell(&workshop, "trap '' XFSZ; ulimit -f 1; exec \"$@\"", line);
        let ended = Ended::of(child.wait_with_output().expect("ends"));
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains("make room"), "{}", ended.stderr);
        assert!(!workshop.exists("out"));
        assert_eq!(workshop.entries("", ".clinlora"), [""; 0], "nothing half-written is left");
    }
}
