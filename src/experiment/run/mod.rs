//! Running one run.
//!
//! Owns the way of a run from a resolved configuration to a result: the training loop as a state machine ([`runner`]), the
//! folder it leaves behind ([`store`], [`result`], [`provenance`]), the states from which it goes on after an interruption
//! ([`checkpoint`]), that only one process works on it ([`lock`]), what it says of itself meanwhile ([`heartbeat`]), and the
//! order in which all these meet ([`execution`]).

pub mod checkpoint;
pub mod execution;
pub mod heartbeat;
pub mod lock;
pub mod provenance;
pub mod result;
pub mod runner;
pub mod store;
