//! What users of LLB documents rely on: lineages as the solver makes them, rewrites that lose
//! nothing, and an answer to every hostile input. Documents are built as Go's marshaller does.

mod builder;
mod check;
mod golden;
mod hostile;
mod lineage;
mod probe;
mod properties;
mod rewrite;
mod solved;
