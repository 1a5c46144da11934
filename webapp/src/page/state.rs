//! What the page knows, and what it can ask for. Components read the signals and call the methods; nothing else talks to
//! the worker.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use clinlora_webapp::about::About;
use clinlora_webapp::engine::protocol::{
    AdapterChoice, Address, Command, DeviceWish, Effect, Event, Failure, Opened, Outcome, Parts, Stored,
};
use clinlora_webapp::samples::samples;
use clinlora_webapp::trial::Trial;
use leptos::prelude::*;
use web_sys::File;

use super::engine::Engine;

/// Everything, by handles that are copied freely.
#[derive(Clone, Copy)]
pub(crate) struct Page {
    engine: StoredValue<Engine, LocalStorage>,
    /// What the model is doing before it is ready.
    pub(crate) phase: RwSignal<Phase>,
    /// The loaded bundle.
    pub(crate) model: RwSignal<Option<Arc<Model>>>,
    /// Where the next bundle comes from, and where it shall run.
    pub(crate) source: RwSignal<Source>,
    /// What the browser keeps for this page.
    pub(crate) stored: RwSignal<Option<Storage>>,
    /// The note as it stands in the field.
    pub(crate) note: RwSignal<String>,
    /// Which of the samples the note is, while it has not been changed.
    pub(crate) sample: RwSignal<Option<usize>>,
    /// How much of the note is read.
    pub(crate) tokens: RwSignal<Option<Tokens>>,
    /// The changes tried on a copy of the note; none before the first.
    pub(crate) trial: RwSignal<Option<Trial>>,
    /// The note with the changes tried on it; none while nothing is tried.
    pub(crate) edited: RwSignal<Option<String>>,
    /// What the model says, by version of the note and by adapters.
    pub(crate) predictions: RwSignal<BTreeMap<(Version, AdapterChoice), Prediction>>,
    /// The outcome that is looked at closely.
    pub(crate) focus: RwSignal<Option<Focus>>,
    /// What drove the outcomes that were asked about, so far.
    pub(crate) explanations: RwSignal<Vec<Explanation>>,
    /// Which parts of the note the outcome in focus is explained by.
    pub(crate) parts: RwSignal<Parts>,
    /// The passage of the note that is looked at closely.
    pub(crate) passage: RwSignal<Option<Range<usize>>>,
    /// What is said to those who cannot see the page change.
    pub(crate) announcement: RwSignal<String>,
    /// The requests that can be stopped.
    running: RwSignal<Vec<(Job, u64)>>,
    opening: RwSignal<u64>,
}

/// What happens before the model is ready, and when it is not any more.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Phase {
    /// Looking for what is stored and what is offered.
    Looking,
    /// A bundle is offered: nothing is fetched yet.
    Offered {
        /// Size of the bundle.
        bytes: u64,
        /// How much of it is on this machine.
        present_bytes: u64,
    },
    /// Nothing is offered, and nothing stored.
    NothingOffered,
    /// Another tab holds the store.
    WaitingForOtherTab,
    /// Shards are arriving.
    Fetching {
        /// Bytes stored.
        received_bytes: u64,
        /// Of all.
        total_bytes: u64,
        /// Speed, once it can be told.
        bytes_per_second: Option<f64>,
        /// Shards being tried again.
        retrying: u32,
    },
    /// Fetching was stopped; what arrived is kept.
    Paused {
        /// Bytes stored.
        received_bytes: u64,
        /// Of all.
        total_bytes: u64,
    },
    /// Tensors are going to the device.
    Loading {
        /// Bytes loaded.
        loaded_bytes: u64,
        /// Of all.
        total_bytes: u64,
    },
    /// The model is ready.
    Ready,
    /// The GPU was lost and is being replaced.
    Recovering {
        /// What the browser said.
        reason: String,
    },
    /// It could not be done.
    Failed(Failure),
}

/// A loaded bundle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Model {
    /// As the worker tells it.
    pub(crate) opened: Opened,
    /// What its manifest says.
    pub(crate) about: About,
}

/// Where a bundle comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    /// Address of the bundle.
    pub(crate) address: String,
    /// Address of the base, for a bundle of adapters only; may be empty.
    pub(crate) base: String,
    /// Where to compute.
    pub(crate) device: DeviceWish,
}

/// What the browser keeps for this page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Storage {
    /// Bundles.
    pub(crate) bundles: Vec<Stored>,
    /// All of it.
    pub(crate) bytes: u64,
    /// What may be stored.
    pub(crate) quota_bytes: u64,
}

/// How much of a note is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// Tokens of the note.
    pub(crate) count: usize,
    /// Tokens the model reads.
    pub(crate) limit: usize,
    /// Byte of the note at which reading stops.
    pub(crate) read_bytes: usize,
}

/// Which text is predicted from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    /// The note.
    Original,
    /// The note with the changes tried on it.
    Edited,
}

/// What the model says of one text under one choice of adapters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Prediction {
    /// Outcomes as they arrived.
    pub(crate) outcomes: Vec<Outcome>,
    /// How it stands.
    pub(crate) status: Status,
}

/// What is computed. Of one kind only the newest request counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// Outcomes of one version of the note under one choice of adapters.
    Predict(Version, AdapterChoice),
    /// What drove the outcome in focus.
    Explain,
}

/// How a request stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Status {
    /// Under way; the share that is done.
    Running(f64),
    /// All there.
    Done,
    /// Stopped or failed.
    Failed(Failure),
}

/// One label of one task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Focus {
    /// Name of the task.
    pub(crate) task: String,
    /// Place of the label.
    pub(crate) label: usize,
}

/// What drove an outcome.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Explanation {
    /// The outcome.
    pub(crate) focus: Focus,
    /// Which parts were left out in turn.
    pub(crate) parts: Parts,
    /// Their effects, in the order of the note.
    pub(crate) effects: Vec<Effect>,
    /// How far deleting parts bears them out.
    pub(crate) agreement: f64,
    /// How it stands.
    pub(crate) status: Status,
}

impl Page {
    /// Starts the worker.
    pub(crate) fn start(source: Source) -> Self {
        let (phase, model) = (RwSignal::new(Phase::Looking), RwSignal::new(None));
        let engine = Engine::start(move |event| {
            // With the worker everything it had loaded is gone.
            if let Event::Failed(failure) = event {
                model.set(None);
                phase.set(Phase::Failed(failure));
            }
        });
        Self {
            engine: StoredValue::new_local(engine),
            phase,
            model,
            source: RwSignal::new(source),
            stored: RwSignal::new(None),
            note: RwSignal::new(String::new()),
            sample: RwSignal::new(None),
            tokens: RwSignal::new(None),
            trial: RwSignal::new(None),
            edited: RwSignal::new(None),
            predictions: RwSignal::new(BTreeMap::new()),
            focus: RwSignal::new(None),
            explanations: RwSignal::new(Vec::new()),
            parts: RwSignal::new(Parts::Sentences),
            passage: RwSignal::new(None),
            announcement: RwSignal::new(String::new()),
            running: RwSignal::new(Vec::new()),
            opening: RwSignal::new(0),
        }
    }

    /// Sends a request; `on_event` gets all of its events.
    pub(super) fn send(
        self,
        command: Command,
        files: &[(String, File)],
        on_event: impl Fn(Event) + 'static,
    ) -> u64 {
        self.engine.with_value(|engine| engine.send(command, files, on_event))
    }

    /// Says something to those who cannot see the page change.
    pub(crate) fn announce(self, text: impl Into<String>) {
        self.announcement.set(text.into());
    }

    /// Fetches what is missing of a bundle and loads it.
    pub(crate) fn open(self, bundle: Address, files: &[(String, File)]) {
        let Source { base, device, .. } = self.source.get_untracked();
        let base = (!base.is_empty()).then_some(base);
        self.forget_predictions();
        self.model.set(None);
        self.phase.set(Phase::Loading { loaded_bytes: 0, total_bytes: 0 });
        let began_ms = js_sys::Date::now();
        let command = Command::Open { bundle, base, device, refresh: false };
        let id = self.send(command, files, move |event| self.opening(event, began_ms));
        self.opening.set(id);
    }

    fn opening(self, event: Event, began_ms: f64) {
        match event {
            Event::WaitingForOtherTab => self.phase.set(Phase::WaitingForOtherTab),
            Event::Fetching { received_bytes, total_bytes, fetched_bytes, retrying } => {
                let seconds = (js_sys::Date::now() - began_ms) / 1000.0;
                #[expect(clippy::cast_precision_loss, reason = "a speed, shown with two digits")]
                let bytes_per_second =
                    (seconds > 0.5 && fetched_bytes > 0).then(|| fetched_bytes as f64 / seconds);
                self.phase.set(Phase::Fetching { received_bytes, total_bytes, bytes_per_second, retrying });
            }
            Event::Loading { loaded_bytes, total_bytes } => {
                self.phase.set(Phase::Loading { loaded_bytes, total_bytes });
            }
            Event::Opened(opened) => self.opened(opened),
            Event::Done => {
                self.opening.set(0);
                self.look_at_storage();
            }
            Event::Failed(Failure::Cancelled) => {
                self.opening.set(0);
                let paused = match self.phase.get_untracked() {
                    Phase::Fetching { received_bytes, total_bytes, .. } => {
                        Phase::Paused { received_bytes, total_bytes }
                    }
                    _ => Phase::Paused { received_bytes: 0, total_bytes: 0 },
                };
                self.phase.set(paused);
                self.look_at_storage();
            }
            Event::Failed(failure) => {
                self.opening.set(0);
                self.phase.set(Phase::Failed(failure));
                self.look_at_storage();
            }
            _ => {}
        }
    }

    fn opened(self, opened: Opened) {
        let about = About::read(&opened.about);
        self.model.set(Some(Arc::new(Model { opened, about })));
        self.phase.set(Phase::Ready);
        self.announce("The model is ready.");
        self.count_tokens();
    }

    /// Stops fetching; what has arrived is kept.
    pub(crate) fn pause(self) {
        let id = self.opening.get_untracked();
        if id != 0 {
            self.engine.with_value(|engine| engine.cancel(id));
        }
    }

    /// Replaces the note. What was predicted from the former one is gone: a card must never stand beside another note.
    pub(crate) fn set_note(self, note: String, sample: Option<usize>) {
        if self.note.with_untracked(|before| *before == note) {
            return;
        }
        self.forget_predictions();
        self.note.set(note);
        self.sample.set(sample);
        self.tokens.set(None);
    }

    /// Puts a sample into the field.
    pub(crate) fn choose_sample(self, place: usize) {
        self.set_note(samples()[place].text.clone(), Some(place));
        self.announce("The sample note is in the field.");
    }

    /// Asks how much of the note is read.
    pub(crate) fn count_tokens(self) {
        let note = self.note.get_untracked();
        if note.is_empty() || self.model.with_untracked(Option::is_none) {
            return self.tokens.set(None);
        }
        self.send(Command::CountTokens { note: note.clone() }, &[], move |event| {
            let is_current = self.note.with_untracked(|now| *now == note);
            if let (Event::Tokens { count, limit, read_bytes }, true) = (event, is_current) {
                self.tokens.set(Some(Tokens { count, limit, read_bytes }));
            }
        });
    }

    /// Runs every task on the note.
    pub(crate) fn predict(self) {
        self.forget_predictions();
        self.announce("Computing.");
        self.predict_as(Version::Original, AdapterChoice::All);
    }

    /// Runs every task on one version of the note, under one choice of adapters.
    pub(crate) fn predict_as(self, version: Version, adapters: AdapterChoice) {
        let note = match version {
            Version::Original => Some(self.note.get_untracked()),
            Version::Edited => self.edited.get_untracked(),
        };
        let Some(note) = note else { return };
        let key = (version, adapters);
        let empty = Prediction { outcomes: Vec::new(), status: Status::Running(0.0) };
        self.predictions.update(|all| {
            all.insert(key, empty);
        });
        let command = Command::Predict { note, tasks: Vec::new(), adapters, max_tokens: None };
        let change = move |change: &dyn Fn(&mut Prediction)| {
            self.predictions.update(|all| {
                if let Some(prediction) = all.get_mut(&key) {
                    change(prediction);
                }
            });
        };
        self.compute(Job::Predict(version, adapters), command, move |event| match event {
            Event::Step { done, total } => change(&|p| p.status = Status::Running(share(done, total))),
            Event::Predicted(outcome) => change(&|p| p.outcomes.push(outcome.clone())),
            Event::Done => {
                change(&|p| p.status = Status::Done);
                match key {
                    (Version::Original, AdapterChoice::All) => self.announce("The outcomes are ready."),
                    (Version::Edited, _) => self.announce("The outcomes with your changes are ready."),
                    _ => {}
                }
            }
            Event::Failed(failure) => change(&|p| p.status = Status::Failed(failure.clone())),
            _ => {}
        });
    }

    /// Asks for something that can be stopped. A request for the same that is still under way is given up: its answers would
    /// speak of what nobody sees any more.
    fn compute(self, job: Job, command: Command, on_event: impl Fn(Event) + 'static) {
        self.stop_job(job);
        self.forget_job(job);
        let own = Rc::new(Cell::new(0));
        let is_own = {
            let own = own.clone();
            move || self.running.with_untracked(|all| all.contains(&(job, own.get())))
        };
        let id = self.send(command, &[], move |event| {
            let is_current = is_own();
            match &event {
                Event::Recovering { reason } => self.phase.set(Phase::Recovering { reason: reason.clone() }),
                Event::Opened(opened) => self.opened(opened.clone()),
                Event::Failed(failure) => self.failed_while_running(failure),
                _ => {}
            }
            if is_current {
                if matches!(event, Event::Done | Event::Failed(_)) {
                    self.forget_job(job);
                }
                on_event(event);
            }
        });
        own.set(id);
        self.running.update(|all| all.push((job, id)));
    }

    fn forget_job(self, job: Job) {
        self.running.update(|all| all.retain(|(other, _)| *other != job));
    }

    /// Looks closely at an outcome, and asks which sentences drove it.
    pub(crate) fn ask_why(self, focus: Focus) {
        self.passage.set(None);
        self.focus.set(Some(focus));
        self.explain(Parts::Sentences);
    }

    /// Asks which parts of the note drove the outcome in focus, unless that is known.
    pub(crate) fn explain(self, parts: Parts) {
        let Some(focus) = self.focus.get_untracked() else { return };
        self.parts.set(parts);
        let is_of_this =
            move |explanation: &Explanation| explanation.focus == focus && explanation.parts == parts;
        if self
            .explanations
            .with_untracked(|all| all.iter().any(|e| is_of_this(e) && e.status == Status::Done))
        {
            // Nobody waits for another any more.
            return self.stop_job(Job::Explain);
        }
        let Some(focus) = self.focus.get_untracked() else { return };
        let command = Command::Explain {
            note: self.note.get_untracked(),
            task: focus.task.clone(),
            label: focus.label,
            parts,
            adapters: AdapterChoice::All,
            max_tokens: None,
        };
        self.explanations.update(|all| {
            all.retain(|e| e.status == Status::Done);
            let status = Status::Running(0.0);
            all.push(Explanation { focus, parts, effects: Vec::new(), agreement: 0.0, status });
        });
        let change = move |change: &dyn Fn(&mut Explanation)| {
            self.explanations.update(|all| {
                if let Some(explanation) = all.iter_mut().find(|e| is_of_this(e)) {
                    change(explanation);
                }
            });
        };
        // Two rounds: parts are left out one by one, then more and more of them to check that.
        let rounds = Cell::new((0, 0, false));
        self.compute(Job::Explain, command, move |event| match event {
            Event::Step { done, total } => {
                let (last, of, was_second) = rounds.get();
                let is_second = was_second || (of != 0 && (total != of || done <= last));
                rounds.set((done, total, is_second));
                let part = share(done, total);
                let status = Status::Running(if is_second { 0.7 + 0.3 * part } else { 0.7 * part });
                change(&|e| e.status = status.clone());
            }
            Event::Explained { effects, agreement } => change(&|e| {
                e.effects.clone_from(&effects);
                e.agreement = agreement;
            }),
            Event::Done => {
                change(&|e| e.status = Status::Done);
                self.announce("The reasons are ready.");
            }
            Event::Failed(failure) => change(&|e| e.status = Status::Failed(failure.clone())),
            _ => {}
        });
    }

    /// What is known, or being found out, of what drove the outcome in focus.
    pub(crate) fn explanation(self) -> Option<Explanation> {
        let (focus, parts) = (self.focus.get()?, self.parts.get());
        self.explanations.with(|all| all.iter().find(|e| e.focus == focus && e.parts == parts).cloned())
    }

    /// Tries a change on a copy of what the model reads of the note; runs it at once if asked to.
    ///
    /// What stands behind the end of reading is no part of the copy: it would move up into the place of what is struck, and the
    /// difference would speak of both.
    pub(crate) fn try_change(self, change: impl FnOnce(&mut Trial), run: bool) {
        let mut trial = self.trial.get_untracked().unwrap_or_else(|| Trial::new(self.read_note()));
        change(&mut trial);
        let text = trial.text();
        let is_changed = !trial.steps().is_empty();
        self.trial.set(is_changed.then_some(trial));
        let edited = is_changed.then_some(text);
        if self.edited.with_untracked(|now| *now == edited) {
            return;
        }
        for job in self.running.get_untracked().into_iter().map(|(job, _)| job) {
            if matches!(job, Job::Predict(Version::Edited, _)) {
                self.stop_job(job);
                self.forget_job(job);
            }
        }
        self.predictions.update(|all| all.retain(|(version, _), _| *version != Version::Edited));
        self.edited.set(edited);
        if run {
            self.predict_as(Version::Edited, AdapterChoice::All);
        }
    }

    /// What the model reads of the note.
    pub(crate) fn read_note(self) -> String {
        let read = self.tokens.get_untracked().map(|tokens| tokens.read_bytes);
        self.note.with_untracked(|note| read.and_then(|end| note.get(..end)).unwrap_or(note).to_owned())
    }

    /// A lost device or a lack of memory takes the model with it; a note that cannot be read does not.
    fn failed_while_running(self, failure: &Failure) {
        if matches!(
            failure,
            Failure::DeviceLost { .. } | Failure::OutOfMemory { .. } | Failure::NothingLoaded
        ) {
            self.model.set(None);
            self.phase.set(Phase::Failed(failure.clone()));
        }
    }

    /// Whether something can be stopped.
    pub(crate) fn is_running(self) -> bool {
        self.running.with(|all| !all.is_empty())
    }

    /// Stops what is being computed.
    pub(crate) fn stop(self) {
        for (job, _) in self.running.get_untracked() {
            self.stop_job(job);
        }
    }

    /// Stops one thing that is being computed.
    pub(crate) fn stop_job(self, job: Job) {
        let ids = self.running.with_untracked(|all| {
            all.iter().filter(|(other, _)| *other == job).map(|(_, id)| *id).collect::<Vec<u64>>()
        });
        self.engine.with_value(|engine| ids.into_iter().for_each(|id| engine.cancel(id)));
    }

    /// Removes everything that was said of the note.
    pub(crate) fn forget_predictions(self) {
        self.stop();
        self.running.update(Vec::clear);
        self.trial.set(None);
        self.edited.set(None);
        self.predictions.update(BTreeMap::clear);
        self.focus.set(None);
        self.explanations.update(Vec::clear);
        self.parts.set(Parts::Sentences);
        self.passage.set(None);
    }

    /// What the model says of one version of the note under one choice of adapters.
    pub(crate) fn prediction(self, version: Version, adapters: AdapterChoice) -> Option<Prediction> {
        self.predictions.with(|all| all.get(&(version, adapters)).cloned())
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share shown as a bar")]
fn share(done: usize, total: usize) -> f64 {
    if total == 0 { 0.0 } else { done as f64 / total as f64 }
}
