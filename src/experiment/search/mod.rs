//! Many configurations, and the choice among them.
//!
//! Owns sweep files ([`sweep`]), how candidates are judged and chosen ([`selection`]), and what all of it will cost
//! ([`cost`]).

pub mod cost;
pub mod selection;
pub mod sweep;
