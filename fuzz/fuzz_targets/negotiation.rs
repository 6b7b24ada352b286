//! The values of `Accept` and `Accept-Encoding`; see `ukevent_fuzz::http::NEGOTIATION`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::http::NEGOTIATION.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::http::NEGOTIATION.repeat()
}
