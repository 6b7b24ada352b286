//! The step `test`: runs every test, counts them, and hears of those that did not run.

use crate::{Mode, project::Project, steps::Outcome};
use std::{fmt, fs, path::Path};

/// What has no place in a run of two minutes.
const SLOW: &str = "--exclude ukevent-cli --exclude ukevent-compat";

/// Runs the tests: with nextest, which gives each a process and ends those that hang, where it is
/// installed; else with `cargo test`. The documentation's examples too.
pub(crate) fn run(project: &Project) -> Result<Outcome, String> {
    let skip_log = project.target.join("skipped-tests");
    clear(&skip_log)?;
    let mut count = Count::default();
    for arguments in commands(project.mode, project.has("cargo", &["nextest", "--version"])) {
        let mut command = project.cargo(&arguments);
        command.env("UKEVENT_SKIP_LOG", &skip_log);
        if project.is_ci && std::env::var_os("UKEVENT_STORM_SECONDS").is_none() {
            // Who waits for his own tests need not wait for that.
            command.env("UKEVENT_STORM_SECONDS", "30");
        }
        let (ended_well, output) = project.run_for_output(command)?;
        count = count + Count::read(&output);
        if !ended_well {
            let unseen = if project.live { String::new() } else { output };
            return Err(format!("{unseen}\nfailed: cargo {arguments}\n{count}"));
        }
    }
    let skipped = fs::read_to_string(&skip_log).unwrap_or_default();
    verdict(count, &skipped, project.is_ci)
}

fn commands(mode: Mode, has_nextest: bool) -> Vec<String> {
    let which = if mode == Mode::Quick { SLOW } else { "" };
    let nextest = "nextest run --no-fail-fast";
    match (has_nextest, mode) {
        (true, Mode::Quick) => vec![format!("{nextest} --workspace {which}")],
        (true, _) => vec![format!("{nextest} --workspace"), "test --workspace --doc".to_owned()],
        (false, Mode::Quick) => vec![format!("test --workspace {which} --all-targets")],
        (false, _) => vec!["test --workspace --no-fail-fast".to_owned()],
    }
}

/// The last line is the count, alone: those who read the output by machine look for it.
pub(crate) fn verdict(count: Count, skipped: &str, is_ci: bool) -> Result<Outcome, String> {
    let heard: String = skipped.lines().map(|line| format!("SKIPPED: {line}\n")).collect();
    if count.passed == 0 {
        return Err(format!("no test ran\n{count}"));
    }
    if is_ci && !heard.is_empty() {
        return Err(format!("{heard}under CI no test may be skipped\n{count}"));
    }
    Ok(Outcome::Passed(format!("{heard}{count}")))
}

pub(crate) fn clear(skip_log: &Path) -> Result<(), String> {
    let folder = skip_log.parent().expect("it lies in the target folder");
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(skip_log, ""))
        .map_err(|error| format!("{}: {error}", skip_log.display()))
}

/// How many tests passed and failed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Count {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
}

impl Count {
    /// Adds up the closing lines of the runners: `test result: ok. 3 passed; 0 failed; …` of cargo,
    /// `Summary [ 0.1s] 3 tests run: 3 passed, 1 timed out, …` of nextest.
    pub(crate) fn read(output: &str) -> Self {
        let closing = |line: &&str| {
            line.starts_with("test result:") || line.trim_start().starts_with("Summary [")
        };
        output
            .lines()
            .filter(closing)
            .map(Self::of_line)
            .fold(Self::default(), |sum, one| sum + one)
    }

    fn of_line(line: &str) -> Self {
        let words: Vec<&str> = line.split_whitespace().collect();
        let before = |word: &str| -> u64 {
            let pairs =
                words.windows(2).filter(|pair| pair[1].trim_end_matches([',', ';']) == word);
            pairs.filter_map(|pair| pair[0].parse::<u64>().ok()).sum()
        };
        Self { passed: before("passed"), failed: before("failed") + before("timed") }
    }
}

impl std::ops::Add for Count {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { passed: self.passed + other.passed, failed: self.failed + other.failed }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Count, verdict};
    use crate::steps::Outcome;

    #[test]
    fn adds_up_the_runners_lines() {
        let output = "\
running 3 tests
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.2s
     Summary [   0.301s] 31 tests run: 28 passed (1 slow), 2 failed, 1 timed out, 5 skipped
test result: FAILED. 0 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.2s
9 passed, said a test
";
        assert_eq!(Count::read(output), Count { passed: 31, failed: 7 });
    }

    fn note(count: Count, skipped: &str, is_ci: bool) -> Result<String, String> {
        match verdict(count, skipped, is_ci)? {
            Outcome::Passed(note) => Ok(note),
            Outcome::Skipped(_) => unreachable!("tests are never skipped as a whole"),
        }
    }

    #[test]
    fn a_skipped_test_fails_ci_and_only_ci() {
        let count = Count { passed: 7, failed: 0 };
        assert_eq!(note(count, "", true).unwrap(), "7 passed, 0 failed");
        let loud = note(count, "it: no mountain\n", false).unwrap();
        assert_eq!(loud, "SKIPPED: it: no mountain\n7 passed, 0 failed");
        let refused = note(count, "it: no mountain\n", true).unwrap_err();
        assert!(refused.contains("it: no mountain") && refused.ends_with("7 passed, 0 failed"));
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        assert!(note(Count::default(), "", false).is_err());
    }
}
