//! Two processes and one folder: the second is refused, and told by whom; a lock whose process is gone is none.
#![cfg(unix)]

use crate::interruption::{send, start_until};
use crate::program::{Ended, Workshop};

const LONG: &str = "pretrain clinical.toml training.epochs=24 training.checkpoint_minutes=0 out=busy";

#[test]
fn a_folder_that_is_being_written_to_is_left_alone() {
    let workshop = Workshop::new();
    let child = start_until(&workshop, LONG, "busy", 1);
    let holder: serde_json::Value = serde_json::from_slice(&workshop.read("busy/.clinlora")).expect("JSON");
    assert_eq!(holder["pid"], child.id());
    let host = holder["host"].as_str().expect("a name").to_owned();
    for again in ["--resume", "--overwrite"] {
        let who = format!("host {host}, process {}", child.id());
        workshop.run(&format!("{LONG} {again}")).refused(&["busy", "another clinlora", &who]);
    }
    send(&child, "-INT");
    let ended = Ended::of(child.wait_with_output().expect("ends"));
    assert_eq!(ended.code, Some(130), "{}", ended.stderr);
    assert_eq!(workshop.read("busy/.clinlora"), b"", "who ends in order gives the lock back");
}

#[test]
fn a_stale_lock_is_taken_over_and_one_of_another_host_is_not() {
    let workshop = Workshop::new();
    let mut child = start_until(&workshop, LONG, "busy", 12);
    child.kill().expect("SIGKILL");
    child.wait().expect("killed");
    let left = workshop.text("busy/.clinlora");
    assert!(left.contains(&child.id().to_string()), "a kill leaves the lock's text: {left}");

    // As if it had been killed on another node.
    let mut holder: serde_json::Value = serde_json::from_str(&left).expect("JSON");
    holder["host"] = "node-17".into();
    workshop.write("busy/.clinlora", holder.to_string());
    for again in ["--resume", "--overwrite"] {
        workshop.run(&format!("{LONG} {again}")).refused(&["host node-17", "delete busy/.clinlora"]);
    }
    workshop.write("busy/.clinlora", left);
    let ended = workshop.run(&format!("{LONG} --resume")).ok();
    let gone = format!("process {}", child.id());
    assert!(ended.stderr.contains(&gone) && ended.stderr.contains("stale"), "{}", ended.stderr);

    // The advice: without the file nobody holds the folder.
    workshop.write("busy/.clinlora", holder.to_string());
    std::fs::remove_file(workshop.file("busy/.clinlora")).expect("there");
    workshop.run(&format!("{LONG} --resume")).ok();
}
