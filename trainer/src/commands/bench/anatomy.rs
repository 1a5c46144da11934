//! What a step's time goes into, by the kind of what is computed.
//!
//! Steps are run apart from those that are measured. The model crate tells when an operation of a kind begins and ends,
//! forward and backward; at each edge the device is waited for, and the time since the last edge belongs to whatever was
//! under way. So nothing overlaps, and a step takes longer than it does otherwise: what the kinds take together is compared
//! with the undisturbed step, and what that one takes beyond is the device's waiting between kernels.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use burn::tensor::Device;
use clinlora_core::kernels::anatomy::{Edge, Kind, listen};
use serde::Serialize;

use crate::error::Result;
use crate::plan::device;

/// What time is spent on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Kind(Kind),
    /// The optimiser, the norm of the gradients included.
    Optimiser,
    /// Residuals, casts, looking up embeddings, the tape.
    Rest,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Kind(Kind::Product) => "frozen products",
            Self::Kind(Kind::TrainedProduct) => "products with LoRA factors",
            Self::Kind(Kind::Attention) => "attention",
            Self::Kind(Kind::Norm) => "norms",
            Self::Kind(Kind::Rotary) => "rotary",
            Self::Kind(Kind::Gate) => "gated unit",
            Self::Kind(Kind::Loss) => "loss and its projection",
            Self::Optimiser => "optimiser",
            Self::Rest => "rest",
        }
    }
}

/// A kind's share of a step.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Spent {
    pub(super) part: &'static str,
    /// In a step.
    pub(super) calls: f64,
    pub(super) seconds: f64,
    /// Of the step as it is run for this, 0 to 1.
    pub(super) share: f64,
}

/// A step, taken apart.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Anatomy {
    pub(super) steps: usize,
    /// With the waiting at every edge.
    pub(super) step_s: f64,
    pub(super) parts: Vec<Spent>,
    /// What an undisturbed step takes beyond its parts.
    pub(super) launch_gaps_s: f64,
}

/// Whose the time between two edges is.
#[derive(Debug, Default)]
struct Ledger {
    spent: BTreeMap<Part, (Duration, u64)>,
    under_way: Vec<Part>,
}

impl Ledger {
    /// The time that has passed belongs to the innermost part under way.
    fn pass(&mut self, passed: Duration) {
        let part = self.under_way.last().copied().unwrap_or(Part::Rest);
        self.spent.entry(part).or_default().0 += passed;
    }

    fn edge(&mut self, part: Part, edge: Edge) {
        match edge {
            Edge::Begin => {
                self.spent.entry(part).or_default().1 += 1;
                self.under_way.push(part);
            }
            Edge::End => {
                self.under_way.pop();
            }
        }
    }

    /// What each part takes of `steps` steps of `step_s` seconds.
    #[expect(clippy::cast_precision_loss, reason = "counts to divide by")]
    fn parts(self, steps: usize, step_s: f64) -> Vec<Spent> {
        let part = |(part, (time, calls)): (Part, (Duration, u64))| {
            let seconds = time.as_secs_f64() / steps as f64;
            Spent { part: part.name(), calls: calls as f64 / steps as f64, seconds, share: seconds / step_s }
        };
        self.spent.into_iter().map(part).collect()
    }
}

struct Meter {
    device: Device,
    ledger: Ledger,
    last: Instant,
    /// What waiting takes when there is nothing to wait for.
    wait: Duration,
}

static METER: Mutex<Option<Meter>> = Mutex::new(None);

impl Meter {
    fn turn(&mut self) {
        // A failure shows when a value is read.
        let _ = self.device.sync();
        self.ledger.pass(self.last.elapsed().saturating_sub(self.wait));
        self.last = Instant::now();
    }
}

fn tell(part: Part, edge: Edge) {
    if let Ok(mut meter) = METER.lock()
        && let Some(meter) = meter.as_mut()
    {
        meter.turn();
        meter.ledger.edge(part, edge);
    }
}

/// Runs `f`, its time counted as that of `part` while a step is taken apart.
pub(super) fn within<T>(part: Part, f: impl FnOnce() -> T) -> T {
    tell(part, Edge::Begin);
    let result = f();
    tell(part, Edge::End);
    result
}

/// Takes `steps` runs of `step` apart; an undisturbed one takes `step_s`.
#[expect(clippy::cast_precision_loss, reason = "counts to divide by")]
pub(super) fn of(
    device: &Device,
    steps: usize,
    step_s: f64,
    mut step: impl FnMut() -> Result<()>,
) -> Result<Anatomy> {
    device::sync(device)?;
    let asked = Instant::now();
    for _ in 0..20 {
        device::sync(device)?;
    }
    let wait = asked.elapsed() / 20;
    let meter = Meter { device: device.clone(), ledger: Ledger::default(), last: Instant::now(), wait };
    if let Ok(mut place) = METER.lock() {
        *place = Some(meter);
    }
    listen(Some(|kind, edge| tell(Part::Kind(kind), edge)));
    let started = Instant::now();
    let outcome = (0..steps).try_for_each(|_| step());
    listen(None);
    let taken = started.elapsed().as_secs_f64() / steps as f64;
    let meter = METER.lock().ok().and_then(|mut meter| meter.take());
    outcome?;
    let ledger = meter.map_or_else(Ledger::default, |mut meter| {
        meter.turn();
        meter.ledger
    });
    let parts = ledger.parts(steps, taken);
    let together: f64 = parts.iter().map(|spent| spent.seconds).sum();
    Ok(Anatomy { steps, step_s: taken, parts, launch_gaps_s: (step_s - together).max(0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_innermost_part_and_all_of_it_somewhere() {
        let mut ledger = Ledger::default();
        let (loss, product) = (Part::Kind(Kind::Loss), Part::Kind(Kind::Product));
        for _ in 0..2 {
            for (ms, part, edge) in [
                (1, loss, Edge::Begin),
                (4, product, Edge::Begin),
                (8, product, Edge::End),
                (3, loss, Edge::End),
                (5, Part::Optimiser, Edge::Begin),
                (2, Part::Optimiser, Edge::End),
            ] {
                ledger.pass(Duration::from_millis(ms));
                ledger.edge(part, edge);
            }
        }
        let parts = ledger.parts(2, 0.046);
        let told: Vec<_> = parts.iter().map(|spent| (spent.part, (1e6 * spent.seconds).round())).collect();
        let expected =
            [("frozen products", 8e3), ("loss and its projection", 7e3), ("optimiser", 2e3), ("rest", 6e3)];
        assert_eq!(told, expected);
        assert!(parts.iter().all(|spent| spent.part == "rest" || spent.calls == 1.0));
        assert!((parts.iter().map(|spent| spent.share).sum::<f64>() - 0.5).abs() < 1e-9);
    }
}
