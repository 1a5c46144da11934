//! Kills at exact moments: the program is traced, and killed where it enters a system call that changes the file system,
//! or with half of a write done. Whatever is left must resume to the very run that was never stopped.
//!
//! Kills are real (SIGKILL), so nothing in the program knows of them. Linux on x86-64 alone: the tracer reads registers.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::event_files::scalars;
use crate::interruption::assert_same_run;
use crate::program::Workshop;

/// Kill points of each of the two kinds this file promises: at system calls, and at moments drawn at random.
const AT_CALLS: usize = 60;
const AT_MOMENTS: usize = 15;

/// Numbers that look random: Knuth's generator (The Art of Computer Programming, 2, 3.3.4).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// How a traced run ended.
#[derive(Debug)]
enum End {
    /// Killed at this call.
    Killed(&'static str),
    Exited(i32),
}

/// The name of a system call that changes the file system, if these registers are of one.
fn change(registers: &libc::user_regs_struct) -> Option<&'static str> {
    let creates = |flags: u64| flags & u64::from(libc::O_CREAT.unsigned_abs()) != 0;
    let is_file = registers.rdi > 2;
    match i64::try_from(registers.orig_rax).ok()? {
        libc::SYS_write | libc::SYS_writev | libc::SYS_pwrite64 => is_file.then_some("write"),
        libc::SYS_rename | libc::SYS_renameat | libc::SYS_renameat2 => Some("rename"),
        libc::SYS_unlink | libc::SYS_unlinkat | libc::SYS_rmdir => Some("unlink"),
        libc::SYS_link | libc::SYS_linkat => Some("link"),
        libc::SYS_mkdir | libc::SYS_mkdirat => Some("mkdir"),
        libc::SYS_fsync | libc::SYS_fdatasync => Some("fsync"),
        libc::SYS_ftruncate => Some("truncate"),
        libc::SYS_openat => creates(registers.rdx).then_some("create"),
        libc::SYS_open => creates(registers.rsi).then_some("create"),
        _ => None,
    }
}

/// Runs `command` and kills it as it enters its change number `kill_at` of the file system; a write may be `torn`, that is
/// half done. None where the machine lets no process be traced.
fn traced(mut command: Command, kill_at: usize, torn: bool) -> Option<End> {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    // SAFETY: between fork and exec, ptrace(2) is a plain system call.
    unsafe {
        command.pre_exec(|| {
            if libc::ptrace(libc::PTRACE_TRACEME, 0, 0_usize, 0_usize) == 0 {
                Ok(())
            } else {
                Err(std::io::Error::last_os_error())
            }
        });
    }
    let child = command.spawn().ok()?;
    let pid = libc::pid_t::try_from(child.id()).unwrap();
    let wait = || {
        let mut status = 0;
        // SAFETY: it waits for a child of this process.
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, 0) }, pid, "its own child");
        status
    };
    let trace = |request, data: usize| {
        // SAFETY: the child is stopped, and no request here has the kernel write to this process's memory.
        let answer = unsafe { libc::ptrace(request, pid, 0_usize, data) };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    };
    let kill = || {
        // SAFETY: a signal to a child of this process that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
        while !libc::WIFSIGNALED(wait()) {}
    };
    assert!(libc::WIFSTOPPED(wait()), "it stops once it is the program");
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_EXITKILL;
    trace(libc::PTRACE_SETOPTIONS, options.unsigned_abs() as usize);
    let (mut changes, mut signal) = (0, 0);
    loop {
        trace(libc::PTRACE_SYSCALL, signal);
        let status = wait();
        if libc::WIFEXITED(status) {
            return Some(End::Exited(libc::WEXITSTATUS(status)));
        }
        assert!(libc::WIFSTOPPED(status), "nobody else kills it: {status}");
        if libc::WSTOPSIG(status) != libc::SIGTRAP | 0x80 {
            signal = libc::WSTOPSIG(status).unsigned_abs() as usize; // its own; it shall have it
            continue;
        }
        signal = 0;
        // SAFETY: the child is stopped, and the structure is the kernel's for this machine.
        let mut registers = unsafe {
            let mut registers: libc::user_regs_struct = std::mem::zeroed();
            libc::ptrace(libc::PTRACE_GETREGS, pid, 0_usize, &raw mut registers);
            registers
        };
        // On entry the result register says that there is no result.
        let is_entry = registers.rax == (-i64::from(libc::ENOSYS)).cast_unsigned();
        let Some(name) = change(&registers).filter(|_| is_entry) else {
            continue;
        };
        changes += 1;
        if changes < kill_at {
            continue;
        }
        if torn && name == "write" {
            registers.rdx /= 2;
            // SAFETY: as above; the call writes fewer bytes of the same buffer.
            unsafe { libc::ptrace(libc::PTRACE_SETREGS, pid, 0_usize, &raw const registers) };
            trace(libc::PTRACE_SYSCALL, 0);
            assert!(libc::WIFSTOPPED(wait()), "the call ends");
            kill();
            return Some(End::Killed("half a write"));
        }
        kill();
        return Some(End::Killed(name));
    }
}

/// Arguments that begin or resume `run`, as a script would: a run that has a recipe has begun.
fn begin_or_resume(workshop: &Workshop, line: &str, run: &str) -> String {
    let resume = if workshop.exists(&format!("{run}/recipe.toml")) { "--resume" } else { "" };
    format!("{line} out={run} {resume}")
}

/// Runs `line` again and again, killed each time at a change drawn at random, until one gets through; counts the kills.
fn killed_until_done(
    workshop: &Workshop,
    (line, run): (&str, &str),
    random: &mut Random,
    kills: &mut BTreeMap<&'static str, usize>,
) -> bool {
    loop {
        let kill_at = 1 + usize::try_from(random.below(150)).unwrap();
        let torn = random.below(2) == 0;
        let command = workshop.command(&begin_or_resume(workshop, line, run));
        match traced(command, kill_at, torn) {
            None => return false,
            Some(End::Killed(call)) => *kills.entry(call).or_default() += 1,
            Some(End::Exited(0)) => return true,
            Some(End::Exited(code)) => {
                let ended = workshop.run(&begin_or_resume(workshop, line, run));
                panic!("exit {code} after {kills:?}: {}", ended.stderr);
            }
        }
    }
}

#[test]
fn a_kill_at_any_change_of_the_file_system_can_be_resumed_to_the_bit() {
    let workshop = Workshop::new();
    let pretrain = "pretrain clinical.toml training.epochs=2 training.batch_size=8 training.checkpoint_minutes=0 \
                    training.keep_last=2";
    let finetune = "finetune downstream.toml training.epochs=2 training.batch_size=10 adapter.0.trainable=true \
                    training.checkpoint_minutes=0";
    let mut random = Random(17);
    let mut kills = BTreeMap::new();
    let mut runs = 0;
    for (line, whole) in [(pretrain, "whole-pretrained"), (finetune, "whole-tuned")] {
        workshop.run(&format!("{line} out={whole}")).ok();
    }
    while kills.values().sum::<usize>() < AT_CALLS {
        let (line, whole) =
            if runs % 4 == 3 { (finetune, "whole-tuned") } else { (pretrain, "whole-pretrained") };
        let run = format!("run{runs}");
        if !killed_until_done(&workshop, (line, &run), &mut random, &mut kills) {
            println!("skipped: this machine lets no process be traced");
            return;
        }
        assert_same_run(&workshop, whole, &run);
        let clinical = |run: &str| workshop.read(&format!("{run}/clinical/adapter_model.safetensors"));
        if line == finetune {
            assert_eq!(clinical(whole), clinical(&run));
        }
        let without_speed = |run: &str| {
            let mut scalars = scalars(&workshop, run);
            scalars.retain(|(tag, ..)| tag != "train/tokens_per_s");
            scalars
        };
        assert_eq!(without_speed(whole), without_speed(&run), "event files repeat and lose nothing");
        workshop.run(&format!("audit {run}")).ok();
        runs += 1;
    }
    println!("{} kills in {runs} runs: {kills:?}", kills.values().sum::<usize>());
    assert!(kills.len() >= 6, "calls of many kinds: {kills:?}");
}

#[test]
fn kills_at_random_moments_lose_and_repeat_no_update() {
    let workshop = Workshop::new();
    let line =
        "pretrain clinical.toml training.epochs=40 training.checkpoint_minutes=0 training.learning_rate=1e-3";
    workshop.run(&format!("{line} out=whole")).ok();
    let mut random = Random(23);
    let mut kills = 0;
    let mut runs = 0;
    while kills < AT_MOMENTS {
        let run = format!("run{runs}");
        for patience_ms in (800..).step_by(50) {
            let mut command = workshop.command(&begin_or_resume(&workshop, line, &run));
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("starts");
            std::thread::sleep(Duration::from_millis(10 + random.below(patience_ms)));
            child.kill().expect("SIGKILL");
            let status = child.wait().expect("its own child");
            match status.code() {
                None => kills += 1,
                Some(0) => break,
                Some(code) => panic!("exit {code} after {kills} kills"),
            }
        }
        assert_same_run(&workshop, "whole", &run);
        runs += 1;
    }
    println!("{kills} kills in {runs} runs");
}

#[test]
fn a_killed_evaluation_or_merge_is_whole_or_not_there() {
    let workshop = Workshop::new();
    workshop.run("finetune downstream.toml training.epochs=1").ok();
    let stack = "--model base --adapter clinical --adapter downstream";
    let evaluate =
        format!("evaluate {stack} --max-tokens 40 --task mortality.toml --data mortality.csv --resamples 10");
    let mut kills = 0;
    for (line, file) in [(evaluate, "metrics.json"), (format!("merge {stack}"), "model.safetensors")] {
        for kill_at in (1..).step_by(4) {
            let out = format!("{}{kill_at}", &line[..5]);
            match traced(workshop.command(&format!("{line} --out {out}")), kill_at, true) {
                None => {
                    println!("skipped: this machine lets no process be traced");
                    return;
                }
                Some(End::Killed(_)) => {
                    kills += 1;
                    if workshop.exists(&out) {
                        assert!(workshop.exists(&format!("{out}/{file}")), "{out}");
                        workshop.run(&format!("audit {out}")).ok();
                    }
                }
                Some(End::Exited(code)) => {
                    assert_eq!(code, 0);
                    break;
                }
            }
        }
    }
    println!("{kills} kills");
    assert!(kills >= 8, "{kills}");
}
