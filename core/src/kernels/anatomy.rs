//! Where the time of a step goes: whoever measures is told when an operation of a kind begins and ends, forward and
//! backward. This crate reads no clock; without a listener nothing happens but a look at one flag.

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// What an operation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Products with weights that are not trained.
    Product,
    /// Products with what is trained: the factors of a LoRA, or a weight itself.
    TrainedProduct,
    /// Attention between tokens.
    Attention,
    /// Norms.
    Norm,
    /// Rotation of queries and keys.
    Rotary,
    /// The gated unit.
    Gate,
    /// The loss, the projection to logits included.
    Loss,
}

/// Which end of an operation has been reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// It is about to be asked for.
    Begin,
    /// It has been asked for; a device that queues its work may not have begun it.
    End,
}

/// Called at every edge, on the thread that runs the model. Operations nest.
pub type Listener = fn(Kind, Edge);

static IS_ON: AtomicBool = AtomicBool::new(false);
static LISTENER: RwLock<Option<Listener>> = RwLock::new(None);

/// Has `listener` told from now on; `None` ends it.
pub fn listen(listener: Option<Listener>) {
    IS_ON.store(listener.is_some(), Ordering::Release);
    if let Ok(mut place) = LISTENER.write() {
        *place = listener;
    }
}

/// Runs `operation`, its edges told.
pub(crate) fn told<T>(kind: Kind, operation: impl FnOnce() -> T) -> T {
    if !IS_ON.load(Ordering::Acquire) {
        return operation();
    }
    let listener = LISTENER.read().ok().and_then(|listener| *listener);
    let tell = |edge| listener.inspect(|tell| tell(kind, edge));
    tell(Edge::Begin);
    let result = operation();
    tell(Edge::End);
    result
}
