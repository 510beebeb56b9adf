//! Facts from the LLB and the image configs that the engine hands out.

pub(crate) mod bootable;
pub(crate) mod branches;
pub(crate) mod lineage;
pub(crate) mod location;
pub(crate) mod result;
