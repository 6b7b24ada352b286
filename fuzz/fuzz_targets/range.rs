//! The values of `Range` and of dates; see `ukevent_fuzz::http::RANGE`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::http::RANGE.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::http::RANGE.repeat()
}
