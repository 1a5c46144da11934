//! Who runs this program, where, and which program it is: for locks and the audit log.
//!
//! The user's name comes from `/etc/passwd` or the environment, not from the system's name service: that may open a socket
//! to a directory server.

use std::fs::File;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest, Sha256};

/// The machine's name; `localhost` where it has none.
pub(crate) fn host() -> String {
    host_name().filter(|name| !name.is_empty()).unwrap_or_else(|| "localhost".to_owned())
}

#[cfg(unix)]
fn host_name() -> Option<String> {
    let mut name = [0_u8; 256];
    // SAFETY: the buffer is as long as said, and its last byte stays 0.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len() - 1) };
    let end = name.iter().position(|byte| *byte == 0)?;
    (failed == 0).then(|| String::from_utf8_lossy(&name[..end]).into_owned())
}

#[cfg(not(unix))]
fn host_name() -> Option<String> {
    std::env::var("COMPUTERNAME").ok()
}

/// The user's login name, or `uid N` if it is not to be found.
pub(crate) fn user() -> String {
    #[cfg(unix)]
    {
        // SAFETY: geteuid(2) always succeeds.
        let uid = unsafe { libc::geteuid() };
        let local = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let names = local.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)? == uid.to_string()).then(|| name.to_owned())
        });
        let from_environment = ["USER", "LOGNAME"].into_iter().filter_map(|key| std::env::var(key).ok());
        names.chain(from_environment).next().unwrap_or_else(|| format!("uid {uid}"))
    }
    #[cfg(not(unix))]
    std::env::var("USERNAME").unwrap_or_else(|_| "unknown".to_owned())
}

/// Whether process `pid` of this machine is alive.
#[cfg(unix)]
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(pid) = libc::pid_t::try_from(pid) else {
        return false;
    };
    // SAFETY: signal 0 is sent to nobody; it only asks.
    let answer = unsafe { libc::kill(pid, 0) };
    answer == 0 || std::io::Error::last_os_error().raw_os_error() == Some(libc::EPERM)
}

/// Whether process `pid` of this machine is alive: yes, where that cannot be asked.
#[cfg(not(unix))]
pub(crate) fn is_alive(_pid: u32) -> bool {
    true
}

/// SHA-256 of the program's own file; empty if it cannot be read.
pub(crate) fn binary_sha256() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| {
        let hash = || -> std::io::Result<String> {
            let mut file = File::open(std::env::current_exe()?)?;
            let mut hash = Sha256::new();
            std::io::copy(&mut file, &mut hash)?;
            Ok(crate::files::hex(&hash.finalize()))
        };
        hash().unwrap_or_default()
    })
}

/// Seconds since the start of 1970.
pub(crate) fn seconds_since_1970() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The time, `2026-01-31T23:05:00Z`.
pub(crate) fn now() -> String {
    #[expect(clippy::cast_possible_truncation, reason = "whole seconds are asked for")]
    let seconds = seconds_since_1970() as i64;
    stamp(seconds)
}

/// Seconds since the start of 1970 as UTC. Hinnant, "chrono-compatible low-level date algorithms": years begin in March, so
/// that the leap day is the last of its year.
fn stamp(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hours, minutes) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        // date -u -d @SECONDS +%FT%TZ
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_790_000_000, "2026-09-21T14:13:20Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(stamp(seconds), expected);
        }
    }

    #[test]
    fn this_process_lives_and_has_a_program() {
        assert!(is_alive(std::process::id()));
        assert!(!is_alive(u32::MAX));
        assert_eq!(binary_sha256().len(), 64);
        assert!(!user().is_empty() && !host().is_empty());
    }
}
