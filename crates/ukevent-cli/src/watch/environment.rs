//! What a command is told of its event: environment variables.

use crate::watch::report::{DATA, Report, Value};
use std::ffi::{OsStr, OsString};

const PREFIX: &str = "UKEVENT_";
const COMMON: [&str; 6] = ["time", "number", "spec", "source", "what", "name"];

/// The variables of an event. File names are the bytes that they are.
pub(crate) fn of(report: &Report) -> Vec<(OsString, OsString)> {
    let mut variables = vec![
        (variable("time"), format!("{:.6}", report.time).into()),
        (variable("number"), report.number.to_string().into()),
        (variable("spec"), report.spec.clone()),
        (variable("source"), report.source.into()),
        (variable("what"), OsString::from(&report.story.what)),
        (variable("name"), report.story.name.clone()),
    ];
    for (name, value) in &report.story.data {
        match value {
            Value::Number(number) => variables.push((variable(name), number.to_string().into())),
            Value::Flag(flag) => {
                variables.push((variable(name), u8::from(*flag).to_string().into()))
            }
            Value::Text(text) => variables.push((variable(name), text.clone())),
            Value::Words(words) => variables.push((variable(name), words.join(",").into())),
            Value::Pairs(pairs) => variables.extend(
                pairs
                    .iter()
                    .map(|(key, value)| (variable(&format!("property_{key}")), value.into())),
            ),
        }
    }
    variables
}

/// Whether a variable says something of an event: one of an `ukevent` further out must not be taken
/// for one of this.
pub(crate) fn is_ours(variable: &OsStr) -> bool {
    let Some(name) = variable.to_str().and_then(|name| name.strip_prefix(PREFIX)) else {
        return false;
    };
    let is_field = COMMON.iter().chain(&DATA).any(|field| name.eq_ignore_ascii_case(field));
    is_field || name.starts_with("PROPERTY_")
}

fn variable(name: &str) -> OsString {
    format!("{PREFIX}{}", name.to_ascii_uppercase()).into()
}
