#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tagcl::data::fuzzing::run("list", bytes));
