//! A whole HTTP connection; see `ukevent_fuzz::http::CONNECTION`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::http::CONNECTION.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::http::CONNECTION.repeat()
}
