//! Boots images: imported and deployed as clients do, in QEMU or faster as a container, and asked what became of them.
//!
//! An image leaves the engine with all its layers (`layout`), the reference importer deploys it into a disk
//! (`disk`), QEMU (`qemu`) or systemd-nspawn (`nspawn`) boots that (`guest`), and a probe tells what it sees from
//! inside (`probe`, `report`).
//! `harness` knows the ways by which a machine comes to an image, `compare` what counts as booting, `forecast`
//! what the lints say of it beforehand. QEMU and libostree are in a private root, the `workshop`.

mod archive;
mod base;
mod compare;
mod disk;
mod forecast;
mod guest;
mod harness;
mod importer;
mod layout;
mod nspawn;
mod owners;
mod pins;
mod probe;
mod qemu;
pub mod rate;
mod report;
mod workshop;

pub use base::{BASE, encapsulated};
pub use compare::{Loss, kept, losses};
pub use forecast::{Expected, Forecast, Hits, Told};
pub use harness::{Boots, Harness, Machine, Runner, Saved, Way};
pub use importer::check_importer;
pub use report::{Report, UnitState};
