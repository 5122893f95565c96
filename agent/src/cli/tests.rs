//! The definitions hang together, and every command explains itself.

use clap::{Command, CommandFactory};

use super::*;

fn walk(command: &Command, path: &str, visit: &mut dyn FnMut(&str, &Command)) {
    let path = format!("{path} {}", command.get_name());
    visit(path.trim(), command);
    for sub in command.get_subcommands() {
        walk(sub, &path, visit);
    }
}

#[test]
fn the_definitions_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_a_sentence_and_an_example() {
    walk(&Cli::command(), "", &mut |path, command| {
        let about = command
            .get_about()
            .map(ToString::to_string)
            .unwrap_or_default();
        assert!(!about.is_empty() && about.len() < 80, "{path}: `{about}`");
        if path != "weir" {
            let help = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            assert!(help.starts_with("Example"), "{path} has no example");
            assert!(help.contains("weir "), "{path}: {help}");
        }
    });
}

#[test]
fn every_option_says_what_it_does() {
    walk(&Cli::command(), "", &mut |path, command| {
        for argument in command.get_opts() {
            assert!(
                argument.get_help().is_some(),
                "{path}: {}",
                argument.get_id()
            );
        }
    });
}
