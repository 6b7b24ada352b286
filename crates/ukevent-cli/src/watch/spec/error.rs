//! What is wrong with a spec: the word, what could stand there, and what was probably meant.

use std::fmt;

/// Why a spec cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpecError {
    spec: String,
    problem: Problem,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Problem {
    /// The word is none of those that may stand there.
    Unknown { word: String, is_no: &'static str, there_are: Vec<&'static str>, tip: Option<String> },
    /// The word has not the form that it must have.
    Malformed { word: String, is_no: &'static str, write: String },
    /// The word is understood, but cannot be had.
    Refused { word: String, why: String, tip: String },
    /// Something is not there.
    Lacks { what: &'static str, write: &'static str },
}

impl SpecError {
    pub(super) fn unknown(
        spec: &str,
        word: &str,
        is_no: &'static str,
        there_are: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        let there_are: Vec<_> = there_are.into_iter().collect();
        let tip = nearest(word, &there_are).map(|near| format!("did you mean {near:?}?"));
        let problem = Problem::Unknown { word: word.to_owned(), is_no, there_are, tip };
        Self { spec: spec.to_owned(), problem }
    }

    pub(super) fn malformed(
        spec: &str,
        word: &str,
        is_no: &'static str,
        write: impl Into<String>,
    ) -> Self {
        let problem = Problem::Malformed { word: word.to_owned(), is_no, write: write.into() };
        Self { spec: spec.to_owned(), problem }
    }

    pub(super) fn refused(spec: &str, word: &str, why: &str, there_are: &[&'static str]) -> Self {
        let tip = match nearest(word, there_are) {
            Some(near) if near != word => format!("did you mean {near:?}?"),
            _ => format!("there are {} and more", there_are.join(", ")),
        };
        let problem = Problem::Refused { word: word.to_owned(), why: why.to_owned(), tip };
        Self { spec: spec.to_owned(), problem }
    }

    pub(super) fn lacks(spec: &str, what: &'static str, write: &'static str) -> Self {
        Self { spec: spec.to_owned(), problem: Problem::Lacks { what, write } }
    }

    /// Says something else than "did you mean", where that has found nothing.
    pub(super) fn or_tip(mut self, other: impl FnOnce() -> String) -> Self {
        if let Problem::Unknown { tip: tip @ None, .. } = &mut self.problem {
            *tip = Some(other());
        }
        self
    }
}

impl fmt::Display for SpecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spec = &self.spec;
        let in_spec = |f: &mut fmt::Formatter<'_>, word: &str| {
            if word == spec { write!(f, "{word:?}") } else { write!(f, "{word:?} in {spec:?}") }
        };
        match &self.problem {
            Problem::Unknown { word, is_no, there_are, tip } => {
                in_spec(f, word)?;
                write!(f, " is no {is_no}; there are {}", listed(there_are))?;
                tip.iter().try_for_each(|tip| write!(f, "; {tip}"))
            }
            Problem::Malformed { word, is_no, write } => {
                in_spec(f, word)?;
                write!(f, " is no {is_no}; write {write}")
            }
            Problem::Refused { word, why, tip } => {
                in_spec(f, word)?;
                write!(f, " cannot be watched: {why}; {tip}")
            }
            Problem::Lacks { what, write } => write!(f, "{spec:?} lacks {what}; write {write}"),
        }
    }
}

impl std::error::Error for SpecError {}

/// "a, b and c".
fn listed(words: &[&str]) -> String {
    match words {
        [most @ .., last] if !most.is_empty() => format!("{} and {last}", most.join(", ")),
        _ => words.concat(),
    }
}

/// The word that was probably meant: at most a third of its letters away, counted as typing errors
/// (a letter too many, too few, wrong, or two swapped), or else the one it is the beginning of.
fn nearest<'a>(word: &str, words: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    let by_distance = words
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&word, known), *known))
        .filter(|(distance, known)| distance * 3 <= length.max(known.len()))
        .min_by_key(|(distance, _)| *distance);
    let by_start = || words.iter().find(|known| length >= 3 && known.starts_with(&word)).copied();
    let by_longer = || words.iter().find(|known| word.starts_with(**known)).copied();
    by_distance.map(|(_, known)| known).or_else(by_start).or_else(by_longer)
}
