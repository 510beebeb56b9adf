//! The BuildKit side of osderive: the gateway session, and LLB documents spliced without loss.

pub mod llb;
