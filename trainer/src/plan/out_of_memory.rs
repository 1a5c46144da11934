//! A device without room for a step: told in words that say what to do, rather than as the runtime's panic.
//!
//! A runtime finds out while it computes in the background, and the failure surfaces wherever a value is read next, in Burn as
//! a panic. So a step is run under [`caught`], which knows those words.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

use burn::tensor::Device;

use super::arithmetic::Arithmetic;
use super::device;
use crate::error::{Error, Result};

/// How the runtimes say it: `CubeCL`'s errors, as text and as Rust shows them, and the driver's.
const WORDS: [&str; 5] = [
    "out of device memory",
    "OutOfMemory",
    "out-of-memory error",
    "BufferTooBig",
    "CUDA_ERROR_OUT_OF_MEMORY",
];

const GIB: f64 = 1_073_741_824.0;

thread_local! {
    static IS_CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// The step that is run: what to say of it if there is no room.
#[derive(Debug)]
pub(crate) struct Step<'a> {
    pub(crate) arithmetic: &'a Arithmetic,
    /// Notes of a micro-batch.
    pub(crate) batch: usize,
    /// Tokens of the longest.
    pub(crate) tokens: usize,
    /// How the number of notes is set.
    pub(crate) setting: &'static str,
}

/// What `run` comes to; [`Error::OutOfMemory`] if it ran out of the memory of `device`.
pub(crate) fn caught<T>(device: &Device, step: &Step<'_>, run: impl FnOnce() -> Result<T>) -> Result<T> {
    keep_quiet();
    // What `run` was at is not touched again: the command ends.
    IS_CAUGHT.set(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    IS_CAUGHT.set(false);
    let said = match outcome {
        Ok(Err(Error::Device(said))) if is_out_of_memory(&said) => said,
        Ok(other) => return other,
        Err(panic) => match text(panic.as_ref()).filter(|said| is_out_of_memory(said)) {
            Some(said) => said.to_owned(),
            None => resume_unwind(panic),
        },
    };
    Err(Error::OutOfMemory(step.told(asked_bytes(&said), device::memory_bytes(device))))
}

/// Refuses a step that `device` cannot have room for. Of a processor the system would end the process, or others, before the
/// allocator said no. A GPU's runtime does say no, after it has tried kernel after kernel on what it has no room for, for
/// minutes; there the formula, which is within a tenth, must be sure.
pub(crate) fn refuse_beforehand(device: &Device, step: &Step<'_>) -> Result<()> {
    let needed = step.arithmetic.memory(step.batch, step.tokens).total;
    let memory = device::memory_bytes(device);
    let certain = |needed: u64| if device::is_processor(device) { needed } else { needed / 11 * 10 };
    match needed.zip(memory) {
        Some((needed, (free, _))) if certain(needed) > free => {
            Err(Error::OutOfMemory(step.told(Some(needed), memory)))
        }
        _ => Ok(()),
    }
}

impl Step<'_> {
    /// `memory` is what is free, and all.
    #[expect(clippy::cast_precision_loss, reason = "sizes to print")]
    fn told(&self, asked: Option<u64>, memory: Option<(u64, u64)>) -> String {
        let Self { batch, tokens, setting, .. } = self;
        let gib = |bytes: u64| format!("{:.2} GiB", bytes as f64 / GIB);
        let asked = asked.map_or_else(|| "more".to_owned(), gib);
        let free = memory
            .map_or_else(String::new, |(free, all)| format!(" and {} of {} were free", gib(free), gib(all)));
        let remedy = match memory.and_then(|(_, all)| largest_batch(self.arithmetic, *tokens, all)) {
            Some(0) => {
                "by arithmetic not even one note fits: shorten notes, or take a smaller base".to_owned()
            }
            Some(largest) if largest < *batch => {
                format!("by arithmetic {largest} notes fit: set {setting} to that")
            }
            _ => format!("halve {setting}"),
        };
        format!(
            "out of device memory: {asked} asked for{free}, at micro-batches of {batch} notes of {tokens} tokens; {remedy} \
             and, for the same update, training.accumulation_steps higher"
        )
    }
}

/// The most notes of a micro-batch that `bytes` have room for, where there is a formula.
pub(crate) fn largest_batch(arithmetic: &Arithmetic, tokens: usize, bytes: u64) -> Option<usize> {
    arithmetic.memory(1, tokens).total?;
    let fits = |batch: usize| arithmetic.memory(batch, tokens).total.is_some_and(|total| total <= bytes);
    let (mut fitting, mut beyond) = (0, 1);
    while fits(beyond) {
        (fitting, beyond) = (beyond, beyond * 2);
    }
    while beyond - fitting > 1 {
        let middle = usize::midpoint(fitting, beyond);
        if fits(middle) { fitting = middle } else { beyond = middle }
    }
    Some(fitting)
}

fn is_out_of_memory(said: &str) -> bool {
    WORDS.iter().any(|words| said.contains(words))
}

/// The number behind `allocating` or `size:` in what a runtime says.
fn asked_bytes(said: &str) -> Option<u64> {
    ["allocating ", "size: "].iter().find_map(|before| {
        let rest = &said[said.find(before)? + before.len()..];
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().ok()
    })
}

fn text(panic: &(dyn std::any::Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied())
}

/// Has a panic that will be told in better words print nothing.
fn keep_quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            let is_told = IS_CAUGHT.get() && text(panic.payload()).is_some_and(is_out_of_memory);
            if !is_told {
                before(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use clinlora_core::config::{LlamaConfig, ModelConfig};

    use super::*;

    fn llama_7b() -> Arithmetic {
        let model = ModelConfig::Llama(LlamaConfig::llama_7b());
        Arithmetic::new(&model, Vec::new(), false, DType::BF16, 0).unwrap()
    }

    #[test]
    fn the_words_of_a_runtime_become_advice() {
        let arithmetic = llama_7b();
        let step = Step { arithmetic: &arithmetic, batch: 512, tokens: 128, setting: "training.batch_size" };
        let read = |said: &'static str| caught(&Device::flex(), &step, || -> Result<()> { panic!("{said}") });
        for said in [
            "Error while reading data: WithContext { reason: \"out of device memory allocating 1610612736 bytes\" }",
            "called `Result::unwrap()`: OutOfMemory { size: 1610612736, backtrace: .. }",
        ] {
            let error = read(said).unwrap_err();
            assert_eq!(error.exit_code(), 2);
            let message = error.to_string();
            for part in ["1.50 GiB asked for", "were free", "512 notes of 128 tokens", "training.batch_size"]
            {
                assert!(message.contains(part), "no {part:?} in {message}");
            }
        }
        let stopped = caught(&Device::flex(), &step, || -> Result<()> {
            Err(Error::Device("CUDA_ERROR_OUT_OF_MEMORY".to_owned()))
        });
        assert!(matches!(stopped, Err(Error::OutOfMemory(_))));
        let other =
            caught(&Device::flex(), &step, || -> Result<()> { Err(Error::Device("lost".to_owned())) });
        assert!(matches!(other, Err(Error::Device(_))), "anything else stays what it is");
        assert_eq!(caught(&Device::flex(), &step, || Ok(7)).unwrap(), 7);
    }

    #[test]
    #[should_panic(expected = "index out of bounds")]
    fn another_panic_goes_on() {
        let arithmetic = llama_7b();
        let step = Step { arithmetic: &arithmetic, batch: 1, tokens: 1, setting: "--batch" };
        let _ = caught(&Device::flex(), &step, || -> Result<()> { panic!("index out of bounds") });
    }

    #[test]
    fn the_largest_batch_is_the_last_that_fits() {
        let arithmetic = llama_7b();
        for gib in [24, 80, 139] {
            let bytes = gib << 30;
            let largest = largest_batch(&arithmetic, 128, bytes).unwrap();
            assert!(arithmetic.memory(largest.max(1), 128).total.unwrap() <= bytes || largest == 0);
            assert!(arithmetic.memory(largest + 1, 128).total.unwrap() > bytes, "{gib} GiB: {largest}");
        }
        assert_eq!(largest_batch(&arithmetic, 128, 1 << 30), Some(0), "not even the weights fit");
        let message = Step { arithmetic: &arithmetic, batch: 9, tokens: 128, setting: "--batch" }
            .told(Some(1 << 30), Some((0, 1 << 30)));
        assert!(message.contains("not even one note fits"), "{message}");
    }
}
