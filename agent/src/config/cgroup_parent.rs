//! Directories in which names of units and containers count.

use serde::Deserialize;

/// A path below the cgroup v2 mount: `/` first, none at the end.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct CgroupParent(String);

impl CgroupParent {
    #[must_use]
    pub fn into_path(self) -> String {
        self.0
    }
}

impl TryFrom<String> for CgroupParent {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let below = path.strip_prefix('/').unwrap_or_default();
        let is_part = |part: &str| !matches!(part, "" | "." | "..");
        if !below.split('/').all(is_part) {
            return Err(format!(
                "`{path}` is no directory below the cgroup mount: write it as `/jobs`, or `/jobs/docker`"
            ));
        }
        Ok(Self(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_below_the_mount() {
        for right in ["/jobs", "/jobs/docker", "/a b"] {
            let parent = CgroupParent::try_from(right.to_owned());
            assert_eq!(parent.map(CgroupParent::into_path).as_deref(), Ok(right));
        }
        for wrong in ["", "/", "jobs", "/jobs/", "//jobs", "/jobs/../x", "/./jobs"] {
            let refused = CgroupParent::try_from(wrong.to_owned()).expect_err(wrong);
            assert!(refused.starts_with(&format!("`{wrong}` is no directory")));
        }
    }
}
