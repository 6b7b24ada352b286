//! What a run leaves behind: one JSON file for each table.
//!
//! Every figure that is printed anywhere comes from such a file. It names the machine, the commit
//! and the arguments, and no place on the machine's disk.

use crate::{Result, cores::Cores};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor},
};
use serde_json::Value;
use std::{fmt, path::Path};

/// Names and values, in the order in which they are shown; a map in JSON.
///
/// ```
/// use ukevent_measure::results::Parameters;
///
/// let mut parameters = Parameters::new();
/// parameters.insert("socket", "TCP");
/// parameters.insert("connections", 64);
/// assert_eq!(parameters.to_string(), "socket TCP, connections 64");
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parameters(Vec<(String, Value)>);

impl Parameters {
    /// None.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more, or another value for one.
    pub fn insert(&mut self, name: &str, value: impl Into<Value>) {
        let value = value.into();
        match self.0.iter_mut().find(|(it, _)| it == name) {
            Some(known) => known.1 = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// The value of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.iter().find(|(it, _)| *it == name).map(|(_, value)| value)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{name} {}", shown(value))?;
        }
        Ok(())
    }
}

impl Serialize for Parameters {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Parameters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Parameters;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("names and values")
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut map: A,
            ) -> std::result::Result<Parameters, A::Error> {
                let mut parameters = Parameters::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    parameters.insert(&name, value);
                }
                Ok(parameters)
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// A value as it is read: a text without its quotes.
#[must_use]
pub fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What one contender achieved in one kind of work.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Outcome {
    /// Its table.
    pub table: String,
    /// Who.
    pub contender: String,
    /// In what kind of work.
    pub parameters: Parameters,
    /// Of the figures.
    pub unit: String,
    /// `None` if the contender has no result.
    pub median: Option<f64>,
    /// The figure of each round, in order: the n-th of all contenders belong together.
    pub rounds: Vec<f64>,
    /// Median over the rounds.
    pub cpu_ns_per_unit: Option<f64>,
    /// Units that should have been delivered, over all rounds.
    pub expected: u64,
    /// Units that were.
    pub delivered: u64,
    /// Whether it has a result.
    pub ok: bool,
    /// Why it has no result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Outcome {
    /// Of a contender that did not finish one round.
    #[must_use]
    pub fn without_result(table: &str, contender: &str, error: Option<String>) -> Self {
        Self {
            table: table.to_owned(),
            contender: contender.to_owned(),
            parameters: Parameters::new(),
            unit: String::new(),
            median: None,
            rounds: Vec::new(),
            cpu_ns_per_unit: None,
            expected: 0,
            delivered: 0,
            ok: false,
            error,
        }
    }
}

/// A file of results.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct File {
    /// Where it was measured.
    pub machine: Machine,
    /// The arguments of the run.
    pub command: String,
    /// The commit that was measured; with a `+` behind it, and changes.
    pub commit: String,
    /// What was found.
    pub results: Vec<Outcome>,
}

/// Where it was measured.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// Those that this process may use.
    pub cores: usize,
    /// Its release.
    pub kernel: String,
    /// How the program was built.
    pub build: String,
}

impl Machine {
    /// This one.
    #[must_use]
    pub fn this(cores: &Cores) -> Self {
        let about = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = about.lines().find_map(|line| line.strip_prefix("model name"));
        let cpu = model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name);
        let kernel = rustix::system::uname();
        let build = if cfg!(debug_assertions) { "debug" } else { "release, thin LTO" };
        Self {
            cpu: cpu.trim().to_owned(),
            cores: cores.count(),
            kernel: kernel.release().to_string_lossy().into_owned(),
            build: build.to_owned(),
        }
    }
}

/// Writes the results of one table into `TABLE.json` there.
///
/// # Errors
/// Those of the file system, with its name.
pub fn write(out: &Path, table: &str, file: &File) -> Result<()> {
    std::fs::create_dir_all(out)?;
    let mut text = serde_json::to_string_pretty(file)?;
    text.push('\n');
    Ok(std::fs::write(out.join(format!("{table}.json")), text)?)
}

/// Reads the results of one table; `None` if there are none.
///
/// # Errors
/// Those of the file system and of JSON.
pub fn read(out: &Path, table: &str) -> Result<Option<File>> {
    match std::fs::read_to_string(out.join(format!("{table}.json"))) {
        Ok(text) => Ok(Some(serde_json::from_str(&text)?)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}
