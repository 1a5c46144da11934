//! Numbers and states in the words of the page.

use clinlora_webapp::engine::protocol::{Adapter, CpuReason, Failure, Place};

/// A size, as people read sizes.
#[expect(clippy::cast_precision_loss, reason = "shown with two or three digits")]
pub(crate) fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        b if b < 1e5 => format!("{:.0} kB", (b / 1e3).max(1.0)),
        b if b < 1e7 => format!("{:.1} MB", b / 1e6),
        b if b < 1e9 => format!("{:.0} MB", b / 1e6),
        b => format!("{:.2} GB", b / 1e9),
    }
}

/// A count of bytes as JavaScript has numbers.
#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
pub(crate) fn as_number(bytes: usize) -> f64 {
    bytes as f64
}

/// A time ahead, as people say it.
pub(crate) fn seconds_left(seconds: f64) -> String {
    match seconds {
        s if s < 1.5 => "a second left".to_owned(),
        s if s < 90.0 => format!("{s:.0} seconds left"),
        s if s < 5400.0 => format!("{:.0} minutes left", s / 60.0),
        s => format!("{:.1} hours left", s / 3600.0),
    }
}

/// Where the model runs, in one line.
pub(crate) fn place(place: &Place) -> String {
    match place {
        Place::Gpu { adapter: Adapter { name, is_software: true, .. } } => {
            format!("Running on a software graphics adapter ({name}): slow.")
        }
        Place::Gpu { adapter } => format!("Running on the graphics processor ({}).", adapter.name),
        Place::Cpu { reason: CpuReason::Asked } => "Running on the processor, as asked.".to_owned(),
        Place::Cpu { reason } => format!("Running on the processor: {}.", because(*reason)),
    }
}

/// Why there is no GPU.
pub(crate) fn because(reason: CpuReason) -> &'static str {
    match reason {
        CpuReason::Asked => "it was asked for",
        CpuReason::NoWebGpu => "this browser has no WebGPU",
        CpuReason::NoAdapter => "this browser offers no graphics processor",
        CpuReason::AdapterTimedOut => "the browser did not answer when asked for a graphics processor",
        CpuReason::NoDevice => "the graphics processor could not be opened",
        CpuReason::WrongAnswers => "the graphics processor gave wrong numbers when it was tried",
        CpuReason::SoftwareAdapter => {
            "there is no real graphics processor, and the processor itself is faster"
        }
    }
}

/// What has happened and what the reader can do about it.
pub(crate) struct Explained {
    pub(crate) title: &'static str,
    pub(crate) what: String,
    pub(crate) advice: &'static str,
    /// Whether trying again may help.
    pub(crate) can_retry: bool,
}

/// A failure in plain words.
pub(crate) fn explained(failure: &Failure) -> Explained {
    let with = |title, what: String, advice, can_retry| Explained { title, what, advice, can_retry };
    match failure {
        Failure::Cancelled => with("Stopped", "You stopped this.".to_owned(), "", true),
        Failure::Unreachable { .. } => with(
            "The model cannot be reached",
            "The address does not answer, or there is no network. What has arrived is kept.".to_owned(),
            "Check the connection and continue, or open the model from a folder on this machine.",
            true,
        ),
        Failure::Missing { path, status } => with(
            "A file of the model is missing",
            format!("{path} is not there (answer {status})."),
            "Check the address, or choose all files of the model's folder.",
            true,
        ),
        Failure::Cut { received_bytes, shard_bytes, .. } => with(
            "The connection was cut",
            format!(
                "{} of {} of one file arrived and are kept.",
                bytes(*received_bytes),
                bytes(*shard_bytes)
            ),
            "Continue: the download goes on where it stopped.",
            true,
        ),
        Failure::Damaged { path } => with(
            "A file of the model is damaged",
            format!("{path} is not the file that its list names; it was fetched twice and refused."),
            "Nothing damaged is kept. Tell whoever provides the model, or open it from another place.",
            true,
        ),
        Failure::Manifest { reason } => with(
            "This is not a model that can be opened",
            format!("{reason}."),
            "Choose another folder or address, or export the model again with the same version.",
            false,
        ),
        Failure::OtherBase { .. } => with(
            "This adapter belongs to another base model",
            "An adapter only fits the base it was trained on.".to_owned(),
            "Open the bundle of that base first, then the adapter.",
            false,
        ),
        Failure::Quota { needed_bytes, available_bytes } => with(
            "Not enough room in the browser",
            format!("{} are needed and {} are free.", bytes(*needed_bytes), bytes(*available_bytes)),
            "Delete a stored model below, or free space on this disk, and try again.",
            true,
        ),
        Failure::NoStore { .. } => with(
            "This browser gives the page no storage",
            "Private windows and some settings forbid it.".to_owned(),
            "Use an ordinary window, or another browser.",
            true,
        ),
        Failure::NoGpu { reason, bundle_bytes, .. } => with(
            "This model needs a graphics processor",
            format!("It is {} large, and {}.", bytes(*bundle_bytes), because(*reason)),
            "Use a recent Chrome or Edge, Safari 26, or Firefox on Windows or an Apple computer; or open a small model, which runs on any processor.",
            true,
        ),
        Failure::TooLarge { needed_bytes, limit_bytes } => with(
            "The model is too large for this graphics processor",
            format!(
                "It needs a block of {}; {} is the most it takes.",
                bytes(*needed_bytes),
                bytes(*limit_bytes)
            ),
            "Use another machine, or a smaller model.",
            false,
        ),
        Failure::OutOfMemory { bundle_bytes, .. } => with(
            "The graphics processor has too little memory",
            format!("The model is {} large, and the memory is full.", bytes(*bundle_bytes)),
            "Close other tabs and programs that draw, then try again; or open a smaller model.",
            true,
        ),
        Failure::DeviceLost { .. } => with(
            "The graphics processor was lost",
            "It was lost twice: by a driver's reset, by sleep, or for want of memory.".to_owned(),
            "Load the model again. It is still stored; nothing has to be fetched.",
            true,
        ),
        Failure::Note { reason } => {
            with("This note cannot be read", format!("{reason}."), "Change the note.", false)
        }
        Failure::UnknownTask { task } => {
            with("The model does not know this outcome", format!("It has no task {task}."), "", false)
        }
        Failure::NothingLoaded => {
            with("No model is loaded", "It was closed in the meantime.".to_owned(), "Load it again.", true)
        }
        Failure::BadMessage { .. } => with(
            "The page was updated",
            "This page and the program behind it are of two versions.".to_owned(),
            "Reload the page.",
            false,
        ),
        Failure::Crashed { .. } => with(
            "The program stopped",
            "It ran out of memory, or has a defect. Your note is still here, the model is still stored."
                .to_owned(),
            "Load the model again.",
            true,
        ),
    }
}
