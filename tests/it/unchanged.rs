//! What must stay as it is while the inside of the program changes: what settings mean, run ids, the files of a run, and
//! the numbers of short runs to the last bit.
//!
//! The tests compare the program with the files in `tests/unchanged/`, which an earlier program wrote. They go through the
//! real binary and the formats of files; what needs the library is in [`adapter`]. `TAGCL_ACCEPT=1` writes what is found
//! instead of comparing it: read the difference before committing it. `tests/unchanged/README.md` describes the files.

mod adapter;
mod fixture;
mod folders;
mod images;
mod interrupted;
mod plan_cases;
mod plans;
mod result_cases;
mod results;
mod sweeps;
