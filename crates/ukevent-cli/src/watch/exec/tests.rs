//! How a command is split.

use super::CommandLine;

fn words(line: &str) -> Vec<String> {
    match CommandLine::parse(line, false) {
        Ok(CommandLine::Words { program, arguments }) => {
            [program].into_iter().chain(arguments).collect()
        }
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn quotes_are_heeded_and_nothing_is_expanded() {
    assert_eq!(words("cargo test"), ["cargo", "test"]);
    assert_eq!(words(r#"a 'b c' "d e" f\ g"#), ["a", "b c", "d e", "f g"]);
    assert_eq!(words("echo $HOME *.rs `id` a;b|c>d"), ["echo", "$HOME", "*.rs", "`id`", "a;b|c>d"]);
    assert_eq!(words("'' a"), ["", "a"]);
}

#[test]
fn a_shell_gets_the_line() {
    let line = "echo $UKEVENT_NAME | wc";
    assert_eq!(CommandLine::parse(line, true).unwrap(), CommandLine::Shell(line.to_owned()));
}

#[test]
fn no_command_and_open_quotes_are_refused() {
    for (line, shell) in [("", false), ("  ", false), ("", true), ("a 'b", false)] {
        assert!(CommandLine::parse(line, shell).is_err(), "{line:?}");
    }
}
