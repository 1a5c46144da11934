//! The search for hyper-parameters: what is searched, how the next trial is chosen, and the journal that trials share.
//!
//! [`space`] is what may vary, [`gp`] and [`radial`] are the surrogates, [`acquisition`] scores where to look next, and
//! [`sampler`] puts them together: a proposal is a function of the trials so far and the seed, nothing else. [`journal`]
//! is the file several processes share, [`study`] what its lines come to, [`shared`] who works on what. [`importance`],
//! [`report`] and [`plots`] tell a person.

pub(crate) mod acquisition;
pub(crate) mod gp;
pub(crate) mod importance;
pub(crate) mod journal;
#[cfg(test)]
mod known_grid;
pub(crate) mod metric;
pub(crate) mod plots;
pub(crate) mod radial;
pub(crate) mod report;
pub(crate) mod sampler;
pub(crate) mod shared;
pub(crate) mod space;
pub(crate) mod study;
