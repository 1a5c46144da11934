//! What the page asks of the worker, and what the worker answers: the only thing the two share.
//!
//! A message is JSON; files, which JSON cannot hold, travel beside it (`client.rs`, `worker/host.rs`). Every request has
//! an id of the page's choosing, and every answer names the request it belongs to. A request gets any number of events and
//! then exactly one [`Event::Done`] or [`Event::Failed`]. Requests run one after the other; [`Command::Cancel`] is obeyed
//! at once. A [`Failure`] carries data, its text is the page's to choose; [`Failure::message`] is the plain version.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Changes with every change of the messages, so that an old page kept by the browser never talks to a new worker.
pub const PROTOCOL: u32 = 3;

/// A request of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Chosen by the page, unique among its requests, not 0.
    pub id: u64,
    /// What is asked.
    pub command: Command,
}

/// What the page can ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Fetches a bundle unless it is stored, and loads it in place of the one loaded before.
    Open {
        /// Where it is.
        bundle: Address,
        /// Address of the base, for a bundle of adapters only; if absent, the base is looked for in the store.
        #[serde(default)]
        base: Option<String>,
        /// Where to compute.
        #[serde(default)]
        device: DeviceWish,
        /// Ask the address again although a manifest of it is stored.
        #[serde(default)]
        refresh: bool,
    },
    /// Predicts the outcomes of one note.
    Predict {
        /// The note.
        note: String,
        /// Names of the tasks in the order they are wanted; all if empty.
        #[serde(default)]
        tasks: Vec<String>,
        /// Which adapters act.
        #[serde(default)]
        adapters: AdapterChoice,
        /// Tokens read of the note; the bundle's own number if absent.
        #[serde(default)]
        max_tokens: Option<usize>,
    },
    /// Tells which parts of a note drove one outcome.
    Explain {
        /// The note.
        note: String,
        /// Name of the task.
        task: String,
        /// Place of the label in the task.
        label: usize,
        /// The parts that are left out in turn.
        #[serde(default)]
        parts: Parts,
        /// Which adapters act.
        #[serde(default)]
        adapters: AdapterChoice,
        /// Tokens read of the note; the bundle's own number if absent.
        #[serde(default)]
        max_tokens: Option<usize>,
    },
    /// Counts the tokens of a note.
    CountTokens {
        /// The note.
        note: String,
    },
    /// Stops another request as soon as it can be stopped. What it has stored is kept.
    Cancel {
        /// The id of that request.
        request: u64,
    },
    /// Tells what is stored.
    Storage,
    /// Deletes a bundle from the store, or everything. Shards that another stored bundle needs stay.
    Delete {
        /// Its address, as [`Stored::address`] has it; everything if absent.
        #[serde(default)]
        address: Option<String>,
    },
    /// Tells what the worker has asked the network for; answered at once, whatever is being computed.
    Requests,
}

/// Where a bundle is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Address {
    /// A folder on a server, or its `manifest.json`.
    Url(String),
    /// The files that came with the message: chosen or dropped, nothing is fetched.
    Files,
}

/// Where the page wants the model to run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceWish {
    /// Where it is fastest.
    #[default]
    Automatic,
    /// On the adapter the browser gives, a software one too.
    Gpu,
    /// On the CPU.
    Cpu,
}

/// Which adapters act on the base.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AdapterChoice {
    /// None: the base alone, under the task's head.
    Off,
    /// All but the task's own, that is, the shared clinical one.
    Clinical,
    /// All of the task's.
    #[default]
    All,
}

/// Parts of a note.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Parts {
    /// Its sentences.
    #[default]
    Sentences,
    /// Its sections.
    Sections,
    /// The words of one part.
    Words {
        /// First byte of that part.
        start: usize,
        /// The byte after it.
        end: usize,
    },
}

/// An answer of the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The request it belongs to; 0 for none.
    pub id: u64,
    /// What happened.
    pub event: Event,
}

/// What the worker tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Event {
    /// The worker has started; before this, messages to it are lost.
    Ready {
        /// Its [`PROTOCOL`].
        protocol: u32,
    },
    /// Another tab is using the store; the request goes on when that is done.
    WaitingForOtherTab,
    /// Shards are arriving.
    Fetching {
        /// Bytes stored of all.
        received_bytes: u64,
        /// Size of all.
        total_bytes: u64,
        /// Bytes of this request that came from the source and not from the store.
        fetched_bytes: u64,
        /// Shards being tried again after an answer was cut or wrong.
        retrying: u32,
    },
    /// Tensors are going to the device.
    Loading {
        /// Bytes loaded.
        loaded_bytes: u64,
        /// Of all.
        total_bytes: u64,
    },
    /// A bundle is loaded.
    Opened(Opened),
    /// A slice of a prediction is computed.
    Step {
        /// Slices done.
        done: usize,
        /// Of all.
        total: usize,
    },
    /// One outcome.
    Predicted(Outcome),
    /// What each part of a note does to an outcome.
    Explained {
        /// The parts, in the order of the note.
        effects: Vec<Effect>,
        /// How far deleting parts bears the effects out; not above 0 means that they should not be shown.
        agreement: f64,
    },
    /// Tokens of a note.
    Tokens {
        /// How many the note has, special ones included.
        count: usize,
        /// How many the model reads.
        limit: usize,
        /// The byte of the note at which reading stops.
        read_bytes: usize,
    },
    /// What is stored.
    Stored {
        /// Bundles.
        bundles: Vec<Stored>,
        /// Size of all shards, shared ones once, unfinished ones too.
        bytes: u64,
        /// What this page may store in all.
        quota_bytes: u64,
    },
    /// What the worker has asked the network for since it was started, as the browser recorded it.
    Requests {
        /// In the order of asking.
        asked: Vec<Asked>,
    },
    /// The device was lost; the model is loaded again on a new one and the request repeated, once.
    Recovering {
        /// What the browser said.
        reason: String,
    },
    /// The request is done.
    Done,
    /// The request was stopped or could not be done. What was loaded before it may be gone; the store is sound.
    Failed(Failure),
}

/// A loaded bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// Hash of the manifest.
    pub manifest_sha256: String,
    /// The manifest without its tables of tensors and shards: tasks, labels, calibration, model card.
    pub about: Value,
    /// Size of its shards.
    pub bytes: u64,
    /// Where it runs.
    pub place: Place,
}

/// Where a model runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "on", rename_all = "snake_case")]
pub enum Place {
    /// On this adapter.
    Gpu {
        /// The adapter.
        adapter: Adapter,
    },
    /// On the CPU.
    Cpu {
        /// Why not on a GPU.
        reason: CpuReason,
    },
}

/// A WebGPU adapter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// What the browser says it is.
    pub name: String,
    /// It computes on the CPU.
    pub is_software: bool,
    /// It computes in half precision.
    pub has_f16: bool,
    /// The largest storage binding.
    pub binding_bytes: u64,
    /// The largest buffer.
    pub buffer_bytes: u64,
    /// Kernels that gave a wrong answer here at the start, by name; slower ones run in their place.
    #[serde(default)]
    pub refused_kernels: Vec<String>,
}

/// Why a model runs on the CPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CpuReason {
    /// The page asked for it.
    Asked,
    /// The browser has no WebGPU.
    NoWebGpu,
    /// The browser has WebGPU but gives no adapter.
    NoAdapter,
    /// The browser did not answer when asked for an adapter.
    AdapterTimedOut,
    /// The adapter gave no device.
    NoDevice,
    /// The adapter is a program on the same CPU, only slower.
    SoftwareAdapter,
    /// The GPU computed wrong numbers when it was tried.
    WrongAnswers,
}

/// What a model says of one task.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The task.
    pub task: String,
    /// Calibrated probability of each label, in the order of the manifest.
    pub probabilities: Vec<f64>,
    /// Tokens of the note that were read.
    pub tokens_read: usize,
    /// Time from the start of the request.
    pub elapsed_ms: f64,
}

/// What one part of a note does to an outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// First byte of the part.
    pub start: usize,
    /// The byte after it.
    pub end: usize,
    /// Log-odds of the outcome with the part, less those without it.
    pub log_odds: f64,
    /// Calibrated probability with the part, less that without it.
    pub probability: f64,
}

/// A request to the network, or to what the browser keeps of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// The address.
    pub address: String,
    /// When it was asked for, in milliseconds since 1970.
    pub time_ms: f64,
}

/// A stored bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Where it came from.
    pub address: String,
    /// Hash of its manifest.
    pub manifest_sha256: String,
    /// Size of its shards.
    pub bytes: u64,
    /// Size of those that are whole.
    pub present_bytes: u64,
}

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Failure {
    /// The page stopped it.
    #[error("stopped")]
    Cancelled,
    /// A message that is none of this protocol: a page of another version.
    #[error("the page and its worker are not of one version; reload the page ({reason})")]
    BadMessage {
        /// What cannot be read.
        reason: String,
    },
    /// No bundle is loaded.
    #[error("no bundle is loaded")]
    NothingLoaded,
    /// The source cannot be reached.
    #[error("{address} cannot be reached: {reason}; what was loaded so far is kept")]
    Unreachable {
        /// What was asked for.
        address: String,
        /// What the browser says.
        reason: String,
    },
    /// A file is not there.
    #[error("{path} is not there (the server answers {status})")]
    Missing {
        /// The file.
        path: String,
        /// The answer's status; 404 for a file that was not among those chosen.
        status: u16,
    },
    /// The connection was cut too often.
    #[error(
        "{path} stops at {received_bytes} of {shard_bytes} bytes; open the bundle again to continue there"
    )]
    Cut {
        /// The file.
        path: String,
        /// Bytes stored.
        received_bytes: u64,
        /// Its size.
        shard_bytes: u64,
    },
    /// A file does not have the hash the manifest gives, twice.
    #[error("{path} is not the file its manifest names: its SHA-256 differs, twice; the source is damaged")]
    Damaged {
        /// The file.
        path: String,
    },
    /// A manifest that is not one, or not of this version.
    #[error("{reason}")]
    Manifest {
        /// What is wrong.
        reason: String,
    },
    /// Adapters that belong to another base.
    #[error("these adapters belong to the base {expected}, not to {found}")]
    OtherBase {
        /// Hash of the base they were trained on.
        expected: String,
        /// Hash of the base that was given; empty for none.
        found: String,
    },
    /// There is no room.
    #[error("{needed_bytes} bytes are needed and {available_bytes} are free in this browser's storage")]
    Quota {
        /// Bytes still to be stored.
        needed_bytes: u64,
        /// Bytes free.
        available_bytes: u64,
    },
    /// The browser has no private file system for this page.
    #[error("this browser gives the page no storage: {reason}")]
    NoStore {
        /// What the browser says.
        reason: String,
    },
    /// No GPU, and too large for the CPU.
    #[error("no GPU ({reason:?}), and {bundle_bytes} bytes are more than the CPU runs ({cpu_limit_bytes})")]
    NoGpu {
        /// Why there is none.
        reason: CpuReason,
        /// Size of the bundle.
        bundle_bytes: u64,
        /// Size of the largest bundle for the CPU.
        cpu_limit_bytes: u64,
    },
    /// The GPU cannot hold a tensor.
    #[error("a tensor of {needed_bytes} bytes is more than this GPU binds ({limit_bytes})")]
    TooLarge {
        /// Size of the tensor.
        needed_bytes: u64,
        /// The adapter's limit.
        limit_bytes: u64,
    },
    /// The GPU has no memory left.
    #[error("the GPU has no memory left for this bundle of {bundle_bytes} bytes: {reason}")]
    OutOfMemory {
        /// Size of the bundle.
        bundle_bytes: u64,
        /// What the browser says.
        reason: String,
    },
    /// The device was lost, and the next one too.
    #[error("the GPU was lost twice: {reason}")]
    DeviceLost {
        /// What the browser says.
        reason: String,
    },
    /// A note that cannot be read.
    #[error("{reason}")]
    Note {
        /// What is wrong; never the note.
        reason: String,
    },
    /// A task the bundle does not have.
    #[error("the bundle has no task {task}")]
    UnknownTask {
        /// Its name.
        task: String,
    },
    /// The worker stopped: a defect of this program, or no memory. The client starts another.
    #[error("the program stopped: {reason}")]
    Crashed {
        /// What it said.
        reason: String,
    },
}

impl Failure {
    /// In words.
    #[must_use]
    pub fn message(&self) -> String {
        self.to_string()
    }
}

#[cfg(test)]
mod tests;
