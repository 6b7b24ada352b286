//! Reads a mix from the text that people write; the module above has its form.

use super::{Mix, Refusal, Request, request};
use std::{error, fmt};

/// Where a text is no mix, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MixError {
    /// The line, from 1. For what only a whole request shows, the line that it begins with.
    pub line: usize,
    /// What is wrong there.
    pub refusal: Refusal,
}

impl fmt::Display for MixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.refusal)
    }
}

impl error::Error for MixError {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        Some(&self.refusal)
    }
}

/// A request of which more lines may come.
struct Draft<'a> {
    line: usize,
    weight: u32,
    method: &'a str,
    path: &'a str,
    fields: Vec<(String, String)>,
    body: Option<String>,
}

pub(super) fn parse(text: &str) -> Result<Mix, MixError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut drafts: Vec<Draft<'_>> = Vec::new();
    let mut lines = 0;
    for (number, line) in (1..).zip(text.lines()) {
        lines = number;
        let said = line.trim();
        if said.is_empty() || said.starts_with('#') {
            continue;
        }
        let result = if line.starts_with([' ', '\t']) {
            drafts.last_mut().ok_or(Refusal::Alone).and_then(|draft| draft.add(line))
        } else {
            Draft::begin(number, said).map(|draft| drafts.push(draft))
        };
        result.map_err(|refusal| MixError { line: number, refusal })?;
    }
    let requests = drafts
        .into_iter()
        .map(|draft| {
            let line = draft.line;
            draft.finish().map_err(|refusal| MixError { line, refusal })
        })
        .collect::<Result<Vec<_>, _>>()?;
    Mix::weighted(requests).map_err(|refusal| MixError { line: lines.max(1), refusal })
}

impl<'a> Draft<'a> {
    /// `[WEIGHT] METHOD PATH`.
    fn begin(line: usize, said: &'a str) -> Result<Self, Refusal> {
        let refuse = || Refusal::Line(said.to_owned());
        let (first, rest) = said.split_once([' ', '\t']).ok_or_else(refuse)?;
        // A method may begin with a digit or a sign, but none does.
        let is_weight = first.starts_with(|it: char| it.is_ascii_digit() || "+-.".contains(it));
        let (weight, (method, path)) = if is_weight {
            let weight = first.parse().ok().filter(|&weight: &u32| weight > 0);
            let weight = weight.ok_or_else(|| Refusal::Weight(first.to_owned()))?;
            (weight, rest.trim_start().split_once([' ', '\t']).ok_or_else(refuse)?)
        } else {
            (1, (first, rest))
        };
        let path = path.trim_start();
        request::check_line(method, path)?;
        Ok(Self { line, weight, method, path, fields: Vec::new(), body: None })
    }

    /// An indented line.
    fn add(&mut self, line: &str) -> Result<(), Refusal> {
        let line = line.trim_start_matches([' ', '\t']);
        if let Some(text) = line.strip_prefix('>') {
            let text = text.strip_prefix(' ').unwrap_or(text);
            match &mut self.body {
                Some(body) => body.extend(["\n", text]),
                None => self.body = Some(text.to_owned()),
            }
            return Ok(());
        }
        let (name, value) = line.split_once(':').ok_or_else(|| Refusal::Field(line.to_owned()))?;
        request::check_field(name, value)?;
        self.fields.push((name.to_owned(), value.trim().to_owned()));
        Ok(())
    }

    fn finish(self) -> Result<(u32, Request), Refusal> {
        let body = self.body.unwrap_or_default().into_bytes();
        Ok((self.weight, Request::new(self.method, self.path, self.fields, body)?))
    }
}
