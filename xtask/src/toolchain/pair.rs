//! The one place that knows which LLVM belongs to which compiler.
//!
//! The linker reads the compiler's bitcode, so its LLVM must be at least the compiler's. Debian's
//! package names carry both versions and move with security updates: nothing here is pinned.

/// A compiler version, `1.96`, and the major version of its LLVM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub rustc: String,
    pub llvm: u32,
}

impl Pair {
    /// From the output of `rustc -vV`.
    pub(crate) fn from_rustc(version: &str) -> Option<Self> {
        let field = |name| version.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            rustc: minor(field("release: ")?)?,
            llvm: major(field("LLVM version: ")?)?,
        })
    }

    /// From `apt-cache show` of the standard library that belongs to the compiler.
    pub(crate) fn from_apt(rustc_version: &str, library: &str) -> Option<Self> {
        let depends = library
            .lines()
            .find_map(|line| line.strip_prefix("Depends: "))?;
        let llvm = depends
            .split([',', '|', ' '])
            .find_map(|package| package.strip_prefix("libllvm"))?;
        Some(Self {
            rustc: minor(rustc_version)?,
            llvm: major(llvm)?,
        })
    }
}

/// `1.96` of `1.96.0+dfsg1-1~deb12u2`.
pub(crate) fn minor(version: &str) -> Option<String> {
    let mut parts = version.split('.');
    let (major, minor) = (parts.next()?, parts.next()?);
    let number = |part: &str| part.parse::<u32>().ok();
    Some(format!("{}.{}", number(major)?, number(minor)?))
}

fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installed_compiler_names_its_llvm() {
        let check = |version: &str, expected: Option<(&str, u32)>| {
            let found = Pair::from_rustc(version);
            let found = found.as_ref().map(|pair| (pair.rustc.as_str(), pair.llvm));
            assert_eq!(found, expected, "{version}");
        };
        check(
            "rustc 1.96.0 (ac68faa20 2026-05-25) (built from a source tarball)\n\
             host: x86_64-unknown-linux-gnu\nrelease: 1.96.0\nLLVM version: 22.1.8\n",
            Some(("1.96", 22)),
        );
        check(
            "release: 1.97.0-nightly\nLLVM version: 22.1.4\n",
            Some(("1.97", 22)),
        );
        check("release: 1.97.0\n", None);
        check("release: x\nLLVM version: 22.1\n", None);
    }

    #[test]
    fn a_packaged_compiler_names_its_llvm() {
        let check = |version: &str, library: &str, expected: Option<(&str, u32)>| {
            let found = Pair::from_apt(version, library);
            let found = found.as_ref().map(|pair| (pair.rustc.as_str(), pair.llvm));
            assert_eq!(found, expected, "{version} {library}");
        };
        let debian = "Package: libstd-rust-web-1.96\n\
                      Depends: libc6 (>= 2.34), libllvm22, libstdc++6 (>= 11)\n";
        check("1.96.0+dfsg1-1~deb12u2", debian, Some(("1.96", 22)));
        check(
            "1.99.0-1",
            "Depends: libllvm24 (>= 1:24.1)\n",
            Some(("1.99", 24)),
        );
        check("1.96.0", "Depends: libc6\n", None);
        check("unknown", debian, None);
    }
}
