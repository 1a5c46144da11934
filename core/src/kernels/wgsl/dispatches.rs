//! Counting what a forward pass sends to a device: on the web each dispatch costs a crossing into JavaScript.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use burn_cubecl::cubecl::logging::{LaunchObservation, LaunchObserver};

/// Counts the dispatches of this process, of these kernels and of Burn's own, while it lives.
#[derive(Debug)]
pub struct Dispatches {
    counts: Arc<Counts>,
    _observation: LaunchObservation,
}

#[derive(Debug, Default)]
struct Counts(Mutex<BTreeMap<&'static str, usize>>);

impl LaunchObserver for Counts {
    fn launched(&self, kernel: &'static str) {
        *self.0.lock().expect("nothing panics while it holds the counts").entry(kernel).or_default() += 1;
    }
}

impl Dispatches {
    /// Starts at none.
    #[must_use]
    pub fn count() -> Self {
        let counts = Arc::new(Counts::default());
        Self { _observation: LaunchObservation::new(counts.clone()), counts }
    }

    /// Dispatches since then, by the name of the kernel's type.
    #[must_use]
    pub fn so_far(&self) -> BTreeMap<&'static str, usize> {
        self.counts.0.lock().expect("nothing panics while it holds the counts").clone()
    }
}
