//! What a hospital's firewall asks for: nothing in the program can reach a network, and nothing tries.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::program::{Ended, Workshop};

/// Crates that speak to networks, by their names or the beginnings of them.
const NETWORK: [&str; 33] = [
    "reqwest",
    "hyper",
    "ureq",
    "curl",
    "isahc",
    "surf",
    "attohttpc",
    "minreq",
    "hf-hub",
    "tokio",
    "mio",
    "async-std",
    "smol",
    "socket2",
    "native-tls",
    "openssl",
    "rustls",
    "quinn",
    "h2",
    "h3",
    "tungstenite",
    "websocket",
    "tonic",
    "hickory",
    "trust-dns",
    "libcurl",
    "ssh2",
    "russh",
    "ftp",
    "suppaftp",
    "opentelemetry",
    "sentry",
    "aws-",
];

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

#[test]
fn no_crate_of_the_default_build_speaks_to_a_network() {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "--offline",
            "--locked",
            "-p",
            "clinlora",
            "--edges",
            "normal,build",
            "--prefix",
            "none",
        ])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    let tree = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let crates: Vec<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(crates.contains(&"burn") && crates.contains(&"safetensors"), "{tree}");
    let is_of = |name: &str, network: &str| match network.strip_suffix('-') {
        Some(_) => name.starts_with(network),
        None => name == network || name.starts_with(&format!("{network}-")),
    };
    let found: Vec<&&str> =
        crates.iter().filter(|name| NETWORK.iter().any(|network| is_of(name, network))).collect();
    assert!(found.is_empty(), "the closed-site promise: {found:?}");
}

/// Neither does the program's own code, by the standard library.
#[test]
fn no_source_names_a_socket() {
    let mut folders = ["core/src", "trainer/src"].map(|folder| root().join(folder)).to_vec();
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let text = fs::read_to_string(&path).unwrap();
            for word in ["std::net", "TcpStream", "TcpListener", "UdpSocket", "UnixStream", "libc::socket"] {
                assert!(!text.contains(word), "{}: {word}", path.display());
            }
        }
    }
    assert!(files > 80, "the sources are not where they should be");
}

/// The main path, a cohort to an evaluation; the words of each are arguments.
const MAIN_PATH: [&str; 6] = [
    "cohort --patients 30 --seed 7 --out hospital",
    "prepare notes --mimic4-note hospital/mimic-iv-note --out notes",
    "pretrain base.toml data.train=notes/train.jsonl training.epochs=1 training.batch_size=16",
    "pretrain clinical.toml training.epochs=1",
    "finetune downstream.toml training.epochs=1",
    "evaluate --model base --adapter clinical --adapter downstream --max-tokens 40 --task mortality.toml \
     --data mortality.csv --out eval --resamples 20",
];

#[test]
fn the_main_path_runs_without_a_network() {
    let can = Command::new("unshare").args(["-rn", "true"]).output();
    if !can.is_ok_and(|output| output.status.success()) {
        println!("skipped: the kernel gives an unprivileged process no network namespace of its own");
        return;
    }
    let workshop = Workshop::with_notes();
    for line in MAIN_PATH {
        let program = workshop.command(line);
        let mut alone = Command::new("unshare");
        alone.arg("-rn").arg(program.get_program()).args(program.get_args()).current_dir(workshop.path());
        Ended::of(alone.output().expect("unshare starts")).ok();
    }
    assert!(workshop.exists("eval/metrics.json"));
}

/// Not even a socket that leads nowhere: with this filter the kernel kills whoever asks for one.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn the_main_path_asks_for_no_socket() {
    let bash = Command::new("bash").args(["-c", "true"]).output();
    if bash.is_ok_and(|output| output.status.success()) {
        let mut control = Command::new("bash");
        control.args(["-c", "exec 3<>/dev/tcp/127.0.0.1/9"]);
        let status = without_sockets(&mut control).status().expect("bash starts");
        use std::os::unix::process::ExitStatusExt;
        assert_eq!(status.signal(), Some(libc::SIGSYS), "the filter works: {status}");
    }
    let workshop = Workshop::with_notes();
    for line in MAIN_PATH {
        let mut command = workshop.command(line);
        Ended::of(without_sockets(&mut command).output().expect("the program starts")).ok();
    }
    assert!(workshop.exists("eval/metrics.json"));
}

/// `command`, killed by SIGSYS at its first `socket(2)`.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
fn without_sockets(command: &mut Command) -> &mut Command {
    use std::os::unix::process::CommandExt;

    let statement =
        |code: u32, k: u32| libc::sock_filter { code: u16::try_from(code).unwrap(), jt: 0, jf: 0, k };
    let jump = libc::sock_filter {
        jf: 1,
        ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, u32::try_from(libc::SYS_socket).unwrap())
    };
    let filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0), // the call's number
        jump,
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_KILL_PROCESS),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let install = move || {
        let mut filter = filter;
        let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
        // SAFETY: both are plain system calls; the program lives until the second has copied it.
        let installed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
                && libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) == 0
        };
        if installed { Ok(()) } else { Err(std::io::Error::last_os_error()) }
    };
    // SAFETY: what runs between fork and exec allocates nothing.
    unsafe { command.pre_exec(install) }
}
