//! What a run will need before it begins: [`arithmetic`] from the shapes alone, [`device`] from the machine;
//! [`out_of_memory`], what is said where there was too little.

pub(crate) mod arithmetic;
pub(crate) mod device;
pub(crate) mod out_of_memory;
