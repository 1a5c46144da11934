//! What a person sees of a run: one bar on a terminal, plain lines elsewhere.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::console;

/// Progress of something with a known number of steps.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    title: String,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
}

/// How often a plain line is printed.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Progress {
    /// Begins at `done` of `total`.
    pub(crate) fn new(title: &str, done: u64, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{prefix} {bar:30} {pos}/{len} {msg} eta {eta}";
            let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::new(total)
                .with_style(style)
                .with_prefix(title.to_owned());
            bar.set_position(done);
            bar.reset_eta();
            bar
        });
        let now = Instant::now();
        Self {
            bar,
            title: title.to_owned(),
            total,
            done,
            started: now,
            last_line: now,
        }
    }

    /// Moves to `done`; `message` says what the numbers are now.
    pub(crate) fn set(&mut self, done: u64, message: impl FnOnce() -> String) {
        self.done = done;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(message());
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let seconds = self.started.elapsed().as_secs();
            console::note(format_args!(
                "{} {done}/{} {} ({seconds} s)",
                self.title,
                self.total,
                message()
            ));
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
