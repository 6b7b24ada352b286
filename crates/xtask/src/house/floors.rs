//! The floors: a crate uses only what lies below it.
//!
//! The table is the first one of ARCHITECTURE.md whose heading begins `| floor | crate |`; further
//! columns are for people. A row is a floor (a number, or `–` for what only tests and tools use) and
//! the crate's name in backticks, or several names.

use super::Crate;
use std::collections::BTreeMap;

/// Where a crate stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Floor {
    Number(u32),
    /// For tests and tools only.
    Beside,
}

/// What is wrong with the table, and with the dependencies by it.
pub(super) fn problems(architecture: &str, crates: &[Crate]) -> Vec<String> {
    let rows = match table(architecture) {
        Ok(rows) => rows,
        Err(problem) => return vec![format!("ARCHITECTURE.md: {problem}")],
    };
    let mut problems = Vec::new();
    let mut floors = BTreeMap::new();
    for (name, floor) in &rows {
        if !crates.iter().any(|it| it.name == *name) {
            problems.push(format!("ARCHITECTURE.md: there is no crate {name}"));
        }
        if floors.insert(name.as_str(), *floor).is_some() {
            problems.push(format!("ARCHITECTURE.md: {name} is on two floors"));
        }
    }
    for user in crates {
        match floors.get(user.name.as_str()) {
            Some(floor) => problems.extend(problems_of_crate(user, *floor, &floors)),
            None => problems.push(format!("ARCHITECTURE.md: {} is on no floor", user.name)),
        }
    }
    problems
}

fn problems_of_crate(user: &Crate, own: Floor, floors: &BTreeMap<&str, Floor>) -> Vec<String> {
    let mut problems = Vec::new();
    for dependency in &user.dependencies {
        // Tests and examples that use their own crate with all its features.
        if dependency.is_dev && dependency.name == user.name {
            continue;
        }
        // What is not in the table is other people's, or was reported above.
        let Some(used) = floors.get(dependency.name.as_str()) else { continue };
        let is_allowed = match (own, *used) {
            (Floor::Number(own), Floor::Number(used)) => used < own,
            (Floor::Number(_), Floor::Beside) => dependency.is_dev,
            (Floor::Beside, _) => true,
        };
        if !is_allowed {
            problems.push(format!(
                "{} ({}) may not use {} ({}){}",
                user.name,
                spoken(own),
                dependency.name,
                spoken(*used),
                if *used == Floor::Beside { " but in its tests" } else { "" }
            ));
        }
    }
    problems
}

fn spoken(floor: Floor) -> String {
    match floor {
        Floor::Number(number) => format!("floor {number}"),
        Floor::Beside => "no floor".to_owned(),
    }
}

/// The rows of the table: names and floors, as they stand.
fn table(architecture: &str) -> Result<Vec<(String, Floor)>, String> {
    let is_heading = |line: &str| cells(line).get(..2).is_some_and(|two| two == ["floor", "crate"]);
    let mut lines = architecture.lines().skip_while(|line| !is_heading(line));
    lines.next().ok_or("there is no table that begins `| floor | crate |`")?;
    let mut rows = Vec::new();
    // The line after the heading is only dashes.
    for line in lines.skip(1).take_while(|line| line.trim_start().starts_with('|')) {
        let cells = cells(line);
        let [floor, names, ..] = cells[..] else { return Err(format!("not a row: {line}")) };
        let floor = match floor {
            "–" | "-" => Floor::Beside,
            number => Floor::Number(number.parse().map_err(|_| format!("no floor: {line}"))?),
        };
        // Between backticks is every second piece.
        let names: Vec<&str> = names.split('`').skip(1).step_by(2).collect();
        if names.is_empty() {
            return Err(format!("no crate in backticks: {line}"));
        }
        rows.extend(names.into_iter().map(|name| (name.to_owned(), floor)));
    }
    Ok(rows)
}

fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Crate, Dependency},
        problems,
    };

    const TABLE: &str = "\
# Architecture

| what | why |
|---|---|
| another | table |

| floor | crate | what lives there |
|---|---|---|
| 0 | `sys` | the kernel |
| 2 | `queue` | the heart; see `nothing` |
| 4 | `http`, `load` | two of a kind |
| – | `kit` | tests |

| 9 | `nowhere` | of no table |
";

    fn a(name: &str, uses: &[&str]) -> Crate {
        let dependencies = uses
            .iter()
            .map(|it| match it.strip_prefix("dev:") {
                Some(name) => Dependency { name: name.to_owned(), is_dev: true },
                None => Dependency { name: (*it).to_owned(), is_dev: false },
            })
            .collect();
        Crate { name: name.to_owned(), dependencies, roots: Vec::new(), manifest: "".into() }
    }

    fn with(changed: Crate) -> Vec<String> {
        let mut crates = vec![
            a("sys", &["libc", "dev:kit"]),
            a("queue", &["sys"]),
            a("http", &["queue", "sys"]),
            a("load", &["queue", "dev:kit"]),
            a("kit", &["sys"]),
        ];
        crates.retain(|it| it.name != changed.name);
        crates.push(changed);
        problems(TABLE, &crates)
    }

    #[test]
    fn downwards_is_allowed() {
        assert!(with(a("kit", &["sys"])).is_empty());
    }

    #[test]
    fn upwards_and_sideways_are_not() {
        assert_eq!(with(a("sys", &["queue"])), ["sys (floor 0) may not use queue (floor 2)"]);
        assert_eq!(with(a("http", &["load"])), ["http (floor 4) may not use load (floor 4)"]);
        assert_eq!(with(a("queue", &["dev:http"])), ["queue (floor 2) may not use http (floor 4)"]);
    }

    #[test]
    fn what_stands_beside_is_for_tests() {
        assert_eq!(with(a("queue", &["kit"])).len(), 1);
        assert!(with(a("queue", &["dev:kit"])).is_empty());
    }

    #[test]
    fn tests_may_name_their_own_crate() {
        assert!(with(a("queue", &["sys", "dev:queue"])).is_empty());
        assert_eq!(with(a("queue", &["queue"])).len(), 1);
    }

    #[test]
    fn every_crate_has_one_row_and_every_row_a_crate() {
        assert_eq!(with(a("new", &[])), ["ARCHITECTURE.md: new is on no floor"]);
        let missing =
            problems(TABLE, &[a("sys", &[]), a("queue", &[]), a("http", &[]), a("kit", &[])]);
        assert_eq!(missing, ["ARCHITECTURE.md: there is no crate load"]);
        let twice = "| floor | crate |\n|---|---|\n| 0 | `sys` |\n| 1 | `sys` |\n";
        assert_eq!(problems(twice, &[a("sys", &[])]), ["ARCHITECTURE.md: sys is on two floors"]);
    }

    #[test]
    fn a_broken_table_is_told() {
        assert!(problems("no table", &[])[0].contains("there is no table"));
        assert!(
            problems("| floor | crate |\n|---|---|\n| one | `a` |\n", &[])[0].contains("no floor")
        );
        assert!(
            problems("| floor | crate |\n|---|---|\n| 1 | a |\n", &[])[0].contains("backticks")
        );
        assert!(problems("| floor | crate |\n|---|---|\n| 1 |\n", &[])[0].contains("not a row"));
    }
}
