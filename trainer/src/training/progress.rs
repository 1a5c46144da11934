//! What a person sees of a run: one bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::console;

/// Progress of something with a known number of steps.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    in_bytes: bool,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
}

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(10);

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
        let bar = std::io::stderr().is_terminal().then(|| {
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
        let now = Instant::now();
        Self { bar, title: title.to_owned(), in_bytes, total, done, started: now, last_line: now }
    }

    /// Moves to `done`; `message` says what the numbers are now.
    pub(crate) fn set(&mut self, done: u64, message: impl FnOnce() -> String) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message());
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            console::note(format_args!("{}", self.line(&message())));
        }
    }

    fn line(&self, message: &str) -> String {
        let Self { title, done, total, .. } = self;
        let elapsed = self.started.elapsed();
        let seconds = elapsed.as_secs();
        if !self.in_bytes {
            return format!("{title} {done}/{total} {message} ({seconds} s)");
        }
        #[expect(clippy::cast_precision_loss, reason = "a share of a file to print")]
        let share = *done as f64 / (*total).max(1) as f64;
        let left = if share > 0.0 { elapsed.as_secs_f64() * (1.0 / share - 1.0) } else { 0.0 };
        let (done, total) = (HumanBytes(*done), HumanBytes(*total));
        format!("{title} {done}/{total} {message} ({seconds} s, {left:.0} s left)")
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
