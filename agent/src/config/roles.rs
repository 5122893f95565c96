//! `[roles]`: who may do what over the API, by group.

use std::collections::BTreeSet;

use serde::Deserialize;

use crate::{
    host::accounts::Numbers,
    policy::{Role, RoleRules},
};

/// The table's schema: every field may be left out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Table {
    viewer: Option<Vec<String>>,
    operator: Vec<String>,
    approver: Vec<String>,
    admin: Vec<String>,
    root: Option<String>,
}

impl Table {
    /// # Errors
    ///
    /// When there is no such group or role: names the field.
    pub(super) fn resolve(self, groups: &Numbers) -> Result<RoleRules, String> {
        let Self {
            viewer,
            operator,
            approver,
            admin,
            root,
        } = self;
        let numbers = |role: Role, names: &[String]| -> Result<BTreeSet<u32>, String> {
            let field = format!("roles.{}", role.name());
            names
                .iter()
                .map(|name| number(&field, name, groups))
                .collect()
        };
        let viewers = viewer.map(|names| numbers(Role::Viewer, &names));
        Ok(RoleRules {
            viewers: viewers.transpose()?,
            operators: numbers(Role::Operator, &operator)?,
            approvers: numbers(Role::Approver, &approver)?,
            admins: numbers(Role::Admin, &admin)?,
            root: root.map_or(Ok(Some(Role::Admin)), |name| role(&name))?,
        })
    }
}

/// The number of a group that a field names.
pub(super) fn number(field: &str, name: &str, groups: &Numbers) -> Result<u32, String> {
    let found = groups.get(name).copied().or_else(|| name.parse().ok());
    found.ok_or_else(|| {
        format!("{field}: there is no group `{name}` on this host: make it, or write a number")
    })
}

fn role(name: &str) -> Result<Option<Role>, String> {
    if name == "none" {
        return Ok(None);
    }
    let found = Role::ALL.into_iter().find(|role| role.name() == name);
    found.map(Some).ok_or_else(|| {
        let all = Role::ALL.map(Role::name).join(", ");
        format!("roles.root: unknown value `{name}`; allowed are {all}, none")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).expect("a table")
    }

    fn resolve(text: &str) -> Result<RoleRules, String> {
        let groups = [("root".to_owned(), 0), ("llm".to_owned(), 990)];
        table(text).resolve(&groups.into())
    }

    #[test]
    fn groups_have_names_or_numbers_and_root_is_admin_unless_it_is_said() {
        assert_eq!(resolve(""), Ok(RoleRules::default()));
        let rules = resolve("viewer = ['llm']\napprover = ['4711', 'llm']\nroot = 'none'");
        let expected = RoleRules {
            viewers: Some([990].into()),
            approvers: [990, 4711].into(),
            root: None,
            ..RoleRules::default()
        };
        assert_eq!(rules, Ok(expected));
        let viewer = resolve("root = 'viewer'").expect("rules");
        assert_eq!(viewer.root, Some(Role::Viewer));
    }

    #[test]
    fn a_mistake_names_the_field() {
        assert_eq!(
            resolve("admin = ['lmm']"),
            Err(
                "roles.admin: there is no group `lmm` on this host: make it, or write a number"
                    .to_owned()
            )
        );
        assert_eq!(
            resolve("root = 'king'"),
            Err(
                "roles.root: unknown value `king`; allowed are viewer, operator, approver, admin, \
                 none"
                    .to_owned()
            )
        );
    }
}
