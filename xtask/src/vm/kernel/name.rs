//! Names of Debian's kernel packages, and their order.

use std::path::{Path, PathBuf};

const IMAGE: &str = "linux-image-";
const FLAVOUR: &str = "-cloud-amd64";
const UNSIGNED: &str = "-unsigned";

/// `linux-image-6.1.0-56-cloud-amd64`, perhaps with `-unsigned`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// What `uname -r` will say: `6.1.0-56-cloud-amd64`.
    pub release: String,
    unsigned: bool,
}

impl Name {
    fn parse(package: &str) -> Option<Self> {
        let rest = package.strip_prefix(IMAGE)?;
        let (release, unsigned) = match rest.strip_suffix(UNSIGNED) {
            Some(release) => (release, true),
            None => (rest, false),
        };
        release.ends_with(FLAVOUR).then(|| Self {
            release: release.to_owned(),
            unsigned,
        })
    }

    pub(crate) fn image(&self) -> String {
        let suffix = if self.unsigned { UNSIGNED } else { "" };
        format!("{IMAGE}{}{suffix}", self.release)
    }

    /// From 7.3 on, the image package only depends on the one that holds the kernel.
    pub(crate) fn binary(&self) -> String {
        self.image().replacen(IMAGE, "linux-binary-", 1)
    }

    /// Where either package keeps the kernel.
    pub(crate) fn find_in(&self, tree: &Path) -> Option<PathBuf> {
        let release = &self.release;
        [
            format!("boot/vmlinuz-{release}"),
            format!("usr/lib/modules/{release}/vmlinuz"),
        ]
        .into_iter()
        .map(|file| tree.join(file))
        .find(|file| file.is_file())
    }

    fn belongs_to(&self, series: &str) -> bool {
        let rest = self.release.strip_prefix(series);
        rest.is_some_and(|rest| rest.starts_with(['.', '-', '+']))
    }

    /// Every number of the release: 6.1.0-9 is older than 6.1.0-56.
    fn order(&self) -> Vec<u64> {
        self.release
            .split(|c: char| !c.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect()
    }
}

/// `6.1`, `6.12`; anything else would be part of a path.
pub(crate) fn is_series(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('.')
        .is_some_and(|(major, minor)| is_number(major) && is_number(minor))
}

/// Kernels of a series, newest first, signed before unsigned.
pub(crate) fn of_series(series: &str, packages: &[String]) -> Vec<Name> {
    let mut names: Vec<Name> = packages
        .iter()
        .filter_map(|package| Name::parse(package))
        .filter(|name| name.belongs_to(series))
        .collect();
    names.sort_by_key(|name| (std::cmp::Reverse(name.order()), name.unsigned));
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(series: &str, packages: &[&str], expected: &[&str]) {
        let packages: Vec<String> = packages.iter().map(|&name| name.to_owned()).collect();
        let names = of_series(series, &packages);
        let images: Vec<String> = names.iter().map(Name::image).collect();
        assert_eq!(images, expected, "{series}");
    }

    #[test]
    fn the_newest_of_the_series_comes_first() {
        let packages = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-56-cloud-amd64-unsigned",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-amd64",
            "linux-image-6.1.0-56-cloud-amd64-dbg",
            "linux-image-6.12.107+deb13-cloud-amd64",
            "linux-image-6.12.9+bpo-cloud-amd64",
            "linux-image-cloud-amd64",
        ];
        check(
            "6.1",
            &packages,
            &[
                "linux-image-6.1.0-56-cloud-amd64",
                "linux-image-6.1.0-56-cloud-amd64-unsigned",
                "linux-image-6.1.0-9-cloud-amd64",
            ],
        );
        check(
            "6.12",
            &packages,
            &[
                "linux-image-6.12.107+deb13-cloud-amd64",
                "linux-image-6.12.9+bpo-cloud-amd64",
            ],
        );
        check("5.10", &packages, &[]);
    }

    #[test]
    fn the_kernel_may_be_in_a_package_of_its_own() {
        let name = Name::parse("linux-image-7.3.4+deb14-cloud-amd64-unsigned").expect("a kernel");
        assert_eq!(
            name.binary(),
            "linux-binary-7.3.4+deb14-cloud-amd64-unsigned"
        );
        let tree = tempfile::tempdir().expect("temporary directory");
        assert_eq!(name.find_in(tree.path()), None);
        let dir = tree.path().join("usr/lib/modules/7.3.4+deb14-cloud-amd64");
        std::fs::create_dir_all(&dir).expect("create");
        std::fs::write(dir.join("vmlinuz"), "").expect("write");
        assert_eq!(name.find_in(tree.path()), Some(dir.join("vmlinuz")));
    }

    #[test]
    fn a_series_is_two_numbers() {
        for good in ["6.1", "6.12"] {
            assert!(is_series(good), "{good}");
        }
        for bad in ["", "6", "6.", ".1", "6.1.2", "../x.1", "6.1-rc"] {
            assert!(!is_series(bad), "{bad}");
        }
    }
}
