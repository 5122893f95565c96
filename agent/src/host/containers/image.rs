//! References of images in full, so that one policy fits all runtimes.

/// `nginx` is `docker.io/library/nginx:latest`. What is a bare digest stays one.
pub(super) fn in_full(text: &str) -> String {
    if text.starts_with("sha256:") {
        return text.to_owned();
    }
    let (first, rest) = text.split_once('/').unwrap_or(("", text));
    let is_registry = first.contains(['.', ':']) || first == "localhost";
    let mut full = match (first, is_registry) {
        ("", _) => format!("docker.io/library/{rest}"),
        (_, true) => text.to_owned(),
        (_, false) => format!("docker.io/{text}"),
    };
    let last = full
        .rsplit_once('/')
        .map_or(full.as_str(), |(_, last)| last);
    if !last.contains([':', '@']) {
        full.push_str(":latest");
    }
    full
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_references_are_completed() {
        for (short, full) in [
            ("nginx", "docker.io/library/nginx:latest"),
            ("nginx:1.27", "docker.io/library/nginx:1.27"),
            ("org/app", "docker.io/org/app:latest"),
            ("org/app@sha256:1", "docker.io/org/app@sha256:1"),
            ("ghcr.io/org/app:v1", "ghcr.io/org/app:v1"),
            ("localhost/tiny", "localhost/tiny:latest"),
            ("registry:5000/a/b", "registry:5000/a/b:latest"),
            ("sha256:0a", "sha256:0a"),
        ] {
            assert_eq!(in_full(short), full);
        }
    }
}
