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

struct Meter {
    device: Device,
    spent: BTreeMap<Part, (Duration, u64)>,
    under_way: Vec<Part>,
    last: Instant,
    /// What waiting takes when there is nothing to wait for.
    edge: Duration,
}

static METER: Mutex<Option<Meter>> = Mutex::new(None);

impl Meter {
    fn turn(&mut self) {
        // A failure shows when a value is read.
        let _ = self.device.sync();
        let part = self.under_way.last().copied().unwrap_or(Part::Rest);
        let spent = self.last.elapsed().saturating_sub(self.edge);
        self.spent.entry(part).or_default().0 += spent;
        self.last = Instant::now();
    }

    fn edge(&mut self, part: Part, edge: Edge) {
        self.turn();
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
}

fn tell(part: Part, edge: Edge) {
    if let Ok(mut meter) = METER.lock()
        && let Some(meter) = meter.as_mut()
    {
        meter.edge(part, edge);
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
    let edge = asked.elapsed() / 20;
    let meter = Meter {
        device: device.clone(),
        spent: BTreeMap::new(),
        under_way: Vec::new(),
        last: Instant::now(),
        edge,
    };
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
    let spent = meter.map_or_else(BTreeMap::new, |mut meter| {
        meter.turn();
        meter.spent
    });
    let parts: Vec<Spent> = spent
        .into_iter()
        .map(|(part, (time, calls))| {
            let seconds = time.as_secs_f64() / steps as f64;
            Spent { part: part.name(), calls: calls as f64 / steps as f64, seconds, share: seconds / taken }
        })
        .collect();
    let together: f64 = parts.iter().map(|spent| spent.seconds).sum();
    Ok(Anatomy { steps, step_s: taken, parts, launch_gaps_s: (step_s - together).max(0.0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_to_the_innermost_part_and_all_of_it_somewhere() {
        let pause = |ms| std::thread::sleep(Duration::from_millis(ms));
        let anatomy = of(&Device::flex(), 2, 0.1, || {
            within(Part::Kind(Kind::Loss), || {
                pause(4);
                within(Part::Kind(Kind::Product), || pause(8));
            });
            within(Part::Optimiser, || pause(2));
            pause(6);
            Ok(())
        })
        .unwrap();
        let seconds = |name: &str| anatomy.parts.iter().find(|spent| spent.part == name).unwrap().seconds;
        for (name, ms) in
            [("frozen products", 8.0), ("loss and its projection", 4.0), ("optimiser", 2.0), ("rest", 6.0)]
        {
            let taken = 1e3 * seconds(name);
            assert!((ms * 0.9..ms + 6.0).contains(&taken), "{name}: {taken} ms");
        }
        let together: f64 = anatomy.parts.iter().map(|spent| spent.seconds).sum();
        assert!((0.9..1.01).contains(&(together / anatomy.step_s)), "{together} of {}", anatomy.step_s);
        assert!((anatomy.launch_gaps_s - (0.1 - together)).abs() < 1e-9);
        assert!(anatomy.parts.iter().all(|spent| spent.part == "rest" || spent.calls == 1.0));
    }
}
