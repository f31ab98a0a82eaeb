//! The TAG paper.
//!
//! Owns the commands of its released scripts ([`released`]), the runs behind its tables and figures with what disagrees
//! between scripts, logs and text ([`replicate`]), and its printed figures ([`published`]).

pub mod published;
pub mod released;
pub mod replicate;
