//! Everything of ukevent that reads bytes from outside, as functions of bytes.
//!
//! A target passes if it returns, whatever the bytes: the functions assert what must hold. Three
//! things run them: `cargo fuzz run NAME` (nightly, guided by coverage, for as long as one likes),
//! the program `smoke` (stable, bounded, in CI), and `cargo run --bin NAME FILE…`, which repeats what
//! was found.
//!
//! A new target is a [`Target`] in [`TARGETS`], a file in `fuzz_targets/`, and a folder of its name in
//! `regressions/` once it has found something.
#![forbid(unsafe_code)]

pub mod http;
pub mod kernel;
pub mod load;
mod mutate;

use std::{env, fs, io, path::PathBuf, process::ExitCode};
use testkit::Rng;

/// Something that takes bytes from outside.
#[derive(Debug)]
pub struct Target {
    /// Its name, which is also that of its file in `fuzz_targets/`.
    pub name: &'static str,
    /// Takes any bytes. Panics if something is wrong.
    pub run: fn(&[u8]),
    /// Good inputs to begin with.
    pub seeds: &'static [&'static [u8]],
    /// The words of its syntax.
    pub words: &'static [&'static [u8]],
}

/// All of them.
pub const TARGETS: &[Target] = &[
    http::REQUEST,
    http::CONNECTION,
    http::TARGET,
    http::RANGE,
    http::NEGOTIATION,
    load::REPLIES,
    kernel::NETLINK,
    kernel::CHANGES,
    kernel::UEVENT,
    kernel::CONNECTOR,
    kernel::INOTIFY,
];

impl Target {
    /// An input for this target, the same for the same state of the generator.
    #[must_use]
    pub fn input(&self, rng: &mut Rng) -> Vec<u8> {
        mutate::input(rng, self.seeds, self.words)
    }

    /// The inputs that once failed, each with the file it is kept in.
    ///
    /// # Errors
    ///
    /// If one cannot be read. That there are none is fine.
    pub fn regressions(&self) -> io::Result<Vec<(PathBuf, Vec<u8>)>> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("regressions").join(self.name);
        if !folder.exists() {
            return Ok(Vec::new());
        }
        let mut paths = fs::read_dir(folder)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<Vec<_>>>()?;
        paths.sort();
        paths.into_iter().map(|path| fs::read(&path).map(|input| (path, input))).collect()
    }

    /// The main function of a target that is built without a fuzzer: runs it on the files that the
    /// command line names.
    #[must_use]
    pub fn repeat(&self) -> ExitCode {
        let files: Vec<_> = env::args_os().skip(1).collect();
        if files.is_empty() {
            eprintln!("Usage: {} FILE…\n\nruns the target on each file", self.name);
            return ExitCode::from(2);
        }
        for file in files {
            match fs::read(&file) {
                Ok(input) => (self.run)(&input),
                Err(error) => {
                    eprintln!("{}: {error}", file.display());
                    return ExitCode::FAILURE;
                }
            }
        }
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use super::TARGETS;
    use std::path::Path;

    #[test]
    fn every_target_can_be_fuzzed() {
        for target in TARGETS {
            let file = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("fuzz_targets/{}.rs", target.name));
            assert!(file.exists(), "{} is missing", file.display());
        }
    }

    #[test]
    fn what_was_found_stays_mended() {
        for target in TARGETS {
            for (_, input) in target.regressions().expect("regressions can be read") {
                (target.run)(&input);
            }
        }
    }
}
