//! LLB documents.
