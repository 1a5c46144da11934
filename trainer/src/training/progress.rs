//! What a person sees of something that takes its time: one bar or spinner on a terminal, plain lines elsewhere. The first
//! line comes after two seconds, so that what is quick stays quiet.

use std::io::IsTerminal;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressStyle};

use crate::console;

/// Progress of something with a known number of steps.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    in_bytes: bool,
    total: u64,
    done: u64,
    first: u64,
    started: Instant,
    next_line: Instant,
}

/// When the first plain line is printed.
const FIRST_LINE: Duration = Duration::from_secs(2);
/// How often one is printed then.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

impl Progress {
    /// Begins at `done` of `total` steps.
    pub(crate) fn new(title: &str, done: u64, total: u64) -> Self {
        Self::begin(title, done, total, false)
    }

    /// Begins at the first of `total` bytes.
    pub(crate) fn of_bytes(title: &str, total: u64) -> Self {
        Self::begin(title, 0, total, true)
    }

    fn begin(title: &str, done: u64, total: u64, in_bytes: bool) -> Self {
        let bar = (std::io::stderr().is_terminal() && !console::is_quiet()).then(|| {
            let style = if in_bytes {
                "{prefix} {bar:30} {bytes}/{total_bytes} {msg} eta {eta}"
            } else {
                "{prefix} {bar:30} {pos}/{len} {msg} eta {eta}"
            };
            let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total).with_style(style).with_prefix(title.to_owned());
            bar.set_position(done);
            bar.reset_eta();
            bar
        });
        let started = Instant::now();
        let next_line = started + FIRST_LINE;
        Self { bar, title: title.to_owned(), in_bytes, total, done, first: done, started, next_line }
    }

    /// Moves to `done`; `message` says what the numbers are now.
    pub(crate) fn set(&mut self, done: u64, message: impl FnOnce() -> String) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message());
        } else if Instant::now() >= self.next_line {
            self.next_line = Instant::now() + LINE_EVERY;
            console::note(format_args!("{}", self.line(&message())));
        }
    }

    fn line(&self, message: &str) -> String {
        let Self { title, done, total, .. } = self;
        let seconds = self.started.elapsed().as_secs();
        let eta = self.eta().map_or_else(String::new, |eta| format!(", {} left", HumanDuration(eta)));
        let blank = if message.is_empty() { "" } else { " " };
        if !self.in_bytes {
            return format!("{title} {done}/{total}{blank}{message} ({seconds} s{eta})");
        }
        let (done, total) = (HumanBytes(*done), HumanBytes(*total));
        format!("{title} {done}/{total}{blank}{message} ({seconds} s{eta})")
    }

    /// Time that is left at the pace so far; none before there is a pace.
    #[expect(clippy::cast_precision_loss, reason = "a share to print")]
    fn eta(&self) -> Option<Duration> {
        let share = (self.done - self.first) as f64 / (self.total - self.first).max(1) as f64;
        let left = self.started.elapsed().as_secs_f64() * (1.0 / share - 1.0);
        Duration::try_from_secs_f64(left.ceil()).ok().filter(|_| share > 0.0)
    }

    /// Says that `what` is under way, until the returned value is dropped, beside the bar or in plain lines.
    pub(crate) fn stage(&self, what: &str) -> Stage {
        match &self.bar {
            Some(bar) => {
                bar.set_message(what.to_owned());
                Stage { spinner: None, lines: None }
            }
            None => Stage::begin(&format!("{} {what}", self.title)),
        }
    }

    /// Prints a line that stays.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None => console::note(line),
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Something without countable steps that is under way, until this is dropped.
pub(crate) struct Stage {
    spinner: Option<ProgressBar>,
    lines: Option<(Sender<()>, JoinHandle<()>)>,
}

impl Stage {
    /// Begins `what`: "reading the base".
    pub(crate) fn begin(what: &str) -> Self {
        if std::io::stderr().is_terminal() && !console::is_quiet() {
            let style = ProgressStyle::with_template("{spinner} {prefix} {elapsed}");
            let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
            let spinner = ProgressBar::new_spinner().with_style(style).with_prefix(what.to_owned());
            spinner.enable_steady_tick(TICK);
            return Self { spinner: Some(spinner), lines: None };
        }
        let what = what.to_owned();
        let started = Instant::now();
        let (stop, stopped) = mpsc::channel();
        let print = move || {
            let mut wait = FIRST_LINE;
            while stopped.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
                console::note(format_args!("{what} ({} s)", started.elapsed().as_secs()));
                wait = LINE_EVERY;
            }
        };
        Self { spinner: None, lines: Some((stop, std::thread::spawn(print))) }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        if let Some((stop, lines)) = self.lines.take() {
            drop(stop);
            let _ = lines.join(); // it prints and ends
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_time_that_is_left() {
        let mut progress = Progress::new("train", 100, 300);
        progress.started = Instant::now().checked_sub(Duration::from_secs(50)).unwrap();
        assert_eq!(progress.line("loss 1.5"), "train 100/300 loss 1.5 (50 s)", "no pace yet");
        progress.done = 150;
        assert_eq!(progress.line(""), "train 150/300 (50 s, 3 minutes left)");
        progress.done = 300;
        assert_eq!(progress.line(""), "train 300/300 (50 s, 0 seconds left)");
    }
}
