//! What a run will need before it begins: [`arithmetic`] from the shapes alone, [`device`] from the machine.

pub(crate) mod arithmetic;
pub(crate) mod device;
