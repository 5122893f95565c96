//! Users and groups by name, from the host's own files. Others have numbers only.

use std::{collections::BTreeMap, fs};

/// Names with their numbers.
pub type Numbers = BTreeMap<String, u32>;

#[must_use]
pub fn users() -> Numbers {
    read("/etc/passwd")
}

#[must_use]
pub fn groups() -> Numbers {
    read("/etc/group")
}

fn read(path: &str) -> Numbers {
    parse(&fs::read_to_string(path).unwrap_or_default())
}

/// Both files begin their lines with name, password and number.
fn parse(text: &str) -> Numbers {
    let numbers = text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number = fields.nth(1)?.parse().ok()?;
        Some((name.to_owned(), number))
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_have_names_and_numbers() {
        let users =
            parse("root:x:0:0:root:/root:/bin/sh\nbroken\nbatch:x:1007:1007::/:/bin/false\n");
        assert_eq!(users.get("root"), Some(&0));
        assert_eq!(users.get("batch"), Some(&1007));
        assert_eq!(users.len(), 2);
    }

    #[test]
    fn groups_are_read_and_garbage_is_not() {
        let found = parse("root:x:0:\nweir:x:990:alice,bob\nbad:x:\n\nworse\n");
        let expected = [("root".to_owned(), 0), ("weir".to_owned(), 990)];
        assert_eq!(found, Numbers::from(expected));
    }
}
