#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tagcl_learn::data::fuzzing::run("features", bytes));
