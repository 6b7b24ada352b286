//! The target of an HTTP request; see `ukevent_fuzz::http::TARGET`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::http::TARGET.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::http::TARGET.repeat()
}
