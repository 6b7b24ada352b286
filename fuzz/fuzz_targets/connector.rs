//! A datagram of the process connector; see `ukevent_fuzz::kernel::CONNECTOR`.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (ukevent_fuzz::kernel::CONNECTOR.run)(bytes));

#[cfg(not(fuzzing))]
fn main() -> std::process::ExitCode {
    ukevent_fuzz::kernel::CONNECTOR.repeat()
}
