//! Worlds in virtual time.

pub mod assertion;
pub mod fault;
pub mod names;
pub mod settings;
pub mod topology;
pub mod units;
