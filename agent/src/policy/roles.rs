//! Who may do what over the API, by group.

use std::collections::BTreeSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads everything.
    Viewer,
    /// Issues and revokes grants, adds deny rules.
    Operator,
    /// Approves and rejects what others have asked for.
    Approver,
    /// Everything, policy files, removal of deny rules and breaking glass included.
    Admin,
}

/// Groups, by number, whose members have a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleRules {
    /// `None`: everybody who may open the socket.
    pub viewers: Option<BTreeSet<u32>>,
    pub operators: BTreeSet<u32>,
    pub approvers: BTreeSet<u32>,
    pub admins: BTreeSet<u32>,
    /// What root is beside its groups.
    pub root: Option<Role>,
}

impl Default for RoleRules {
    fn default() -> Self {
        Self {
            viewers: None,
            operators: BTreeSet::new(),
            approvers: BTreeSet::new(),
            admins: BTreeSet::new(),
            root: Some(Role::Admin),
        }
    }
}

impl Role {
    pub const ALL: [Self; 4] = [Self::Viewer, Self::Operator, Self::Approver, Self::Admin];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::Admin => "admin",
        }
    }

    /// Whether whoever has this role may do what `needed` may.
    const fn includes(self, needed: Self) -> bool {
        match (self, needed) {
            (Self::Admin, _)
            | (_, Self::Viewer)
            | (Self::Operator, Self::Operator)
            | (Self::Approver, Self::Approver) => true,
            (Self::Viewer | Self::Operator | Self::Approver, _) => false,
        }
    }
}

impl RoleRules {
    /// Whether user `uid`, member of `groups`, may do what `needed` may.
    #[must_use]
    pub fn allow(&self, needed: Role, uid: u32, groups: &[u32]) -> bool {
        let Self {
            viewers,
            operators,
            approvers,
            admins,
            root,
        } = self;
        let is_member = |of: &BTreeSet<u32>| groups.iter().any(|group| of.contains(group));
        let roles = [
            (Role::Viewer, viewers.as_ref().is_none_or(is_member)),
            (Role::Operator, is_member(operators)),
            (Role::Approver, is_member(approvers)),
            (Role::Admin, is_member(admins)),
        ];
        let by_group = roles.into_iter().filter(|(_, has)| *has);
        by_group
            .map(|(role, _)| role)
            .chain(root.filter(|_| uid == 0))
            .any(|role| role.includes(needed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rules: &RoleRules, uid: u32, groups: &[u32], expected: &[Role]) {
        let allowed = Role::ALL.into_iter();
        let allowed: Vec<_> = allowed
            .filter(|role| rules.allow(*role, uid, groups))
            .collect();
        assert_eq!(allowed, expected, "{uid} in {groups:?}");
    }

    #[test]
    fn without_rules_everybody_reads_and_root_does_everything() {
        let rules = RoleRules::default();
        check(&rules, 0, &[0], &Role::ALL);
        check(&rules, 1000, &[0, 1000], &[Role::Viewer]);
    }

    #[test]
    fn a_group_gives_a_role_and_root_may_have_none() {
        let rules = RoleRules {
            viewers: Some([10].into()),
            operators: [20].into(),
            approvers: [30].into(),
            admins: [40].into(),
            root: None,
        };
        check(&rules, 0, &[0], &[]);
        check(&rules, 1, &[10], &[Role::Viewer]);
        check(&rules, 1, &[5, 20], &[Role::Viewer, Role::Operator]);
        check(&rules, 1, &[30], &[Role::Viewer, Role::Approver]);
        check(&rules, 0, &[40], &Role::ALL);
        check(
            &rules,
            1,
            &[20, 30],
            &[Role::Viewer, Role::Operator, Role::Approver],
        );
    }
}
