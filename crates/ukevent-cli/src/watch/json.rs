//! Events as JSON, one object a line. The names are documented in the help of the command.

use crate::watch::report::{Report, Value};
use serde::ser::{Serialize, SerializeMap, Serializer};

impl Serialize for Report {
    /// In this order, which readers need not heed; text that is not UTF-8 with U+FFFD.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("time", &format!("{:.6}", self.time))?;
        map.serialize_entry("number", &self.number)?;
        map.serialize_entry("spec", &self.spec.to_string_lossy())?;
        map.serialize_entry("source", self.source)?;
        map.serialize_entry("what", &self.story.what)?;
        map.serialize_entry("name", &self.story.name.to_string_lossy())?;
        for (name, value) in &self.story.data {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Number(number) => serializer.serialize_i64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Text(text) => serializer.serialize_str(&text.to_string_lossy()),
            Self::Words(words) => serializer.collect_seq(words),
            Self::Pairs(pairs) => {
                serializer.collect_map(pairs.iter().map(|(name, value)| (name, value)))
            }
        }
    }
}

/// The line of an event, with its end.
pub(crate) fn line(report: &Report) -> serde_json::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    Ok(line)
}
