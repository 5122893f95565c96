//! Reads systemd, container and Kubernetes names out of cgroup paths.
//!
//! A path is read from the outside in, so that a prefix (nspawn, kind) and a child that a runtime
//! adds (crun's `/container`) do not matter.

use super::Labels;

pub(super) fn parse(path: &str) -> Labels {
    let mut labels = Labels {
        cgroup: if path.is_empty() { "/" } else { path }.to_owned(),
        ..Labels::default()
    };
    for component in path.split('/').filter(|part| !part.is_empty()) {
        if let Some(id) = container_id(component) {
            labels.container = Some(id.to_owned());
        }
        if let Some(uid) = pod_uid(component) {
            labels.pod = Some(uid);
        }
        if component.ends_with(".slice") {
            labels.slice = Some(component.to_owned());
            labels.unit = None;
        } else if component.ends_with(".service") || component.ends_with(".scope") {
            labels.unit = Some(component.to_owned());
        }
        // Below its manager a user makes and names what it likes: none of that is an identity
        // that somebody else could be taken for.
        if component.starts_with("user@") && component.ends_with(".service") {
            break;
        }
    }
    labels
}

/// `<64 hex>`, `<runtime>-<64 hex>.scope`, `libpod-<64 hex>`.
fn container_id(component: &str) -> Option<&str> {
    let stem = component.strip_suffix(".scope").unwrap_or(component);
    let id = stem.rsplit_once('-').map_or(stem, |(_, id)| id);
    let is_id = id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_id.then_some(id)
}

/// `pod<uid>` (cgroupfs driver) or `kubepods-…-pod<uid with underscores>.slice` (systemd driver).
fn pod_uid(component: &str) -> Option<String> {
    let uid = match component.strip_suffix(".slice") {
        Some(stem) => stem
            .strip_prefix("kubepods-")?
            .rsplit_once("pod")?
            .1
            .replace('_', "-"),
        None => component.strip_prefix("pod")?.to_owned(),
    };
    let shape = [8, 4, 4, 4, 12];
    let parts: Vec<_> = uid.split('-').collect();
    let is_uid = parts.len() == shape.len()
        && parts.iter().zip(shape).all(|(part, length)| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
        });
    is_uid.then_some(uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "3f4a1c0e9b7d2a5568f0c1d2e3b4a5968778695a4b3c2d1e0f9e8d7c6b5a4938";
    const UID: &str = "6f1c9c1e-5d0a-4d43-9a3b-0c1d2e3f4a5b";

    fn check(path: &str, key: &str, slice: Option<&str>, pod: Option<&str>) {
        let labels = parse(path);
        assert_eq!(labels.key(), key, "{path}");
        assert_eq!(labels.slice.as_deref(), slice, "{path}");
        assert_eq!(labels.pod.as_deref(), pod, "{path}");
    }

    #[test]
    fn plain_cgroups_are_their_path() {
        check("/", "cgroup:/", None, None);
        check("", "cgroup:/", None, None);
        check("/a/b", "cgroup:/a/b", None, None);
    }

    #[test]
    fn systemd_units_are_themselves_wherever_they_are() {
        let system = Some("system.slice");
        check(
            "/system.slice/nginx.service",
            "unit:nginx.service",
            system,
            None,
        );
        check(
            "/system.slice/nginx.service/worker",
            "unit:nginx.service",
            system,
            None,
        );
        check(
            "/nspawn/payload/system.slice/a@1.service",
            "unit:a@1.service",
            system,
            None,
        );
        check(
            "/user.slice/user-0.slice",
            "cgroup:/user.slice/user-0.slice",
            Some("user-0.slice"),
            None,
        );
        check(
            "/user.slice/user-7.slice/user@7.service/system.slice/nginx.service",
            "unit:user@7.service",
            Some("user-7.slice"),
            None,
        );
    }

    #[test]
    fn containers_are_their_id_under_every_driver() {
        let container = format!("container:{ID}");
        for path in [
            format!("/system.slice/docker-{ID}.scope"),
            format!("/docker/{ID}"),
            format!("/machine.slice/libpod-{ID}.scope/container"),
            format!("/default/{ID}"),
        ] {
            assert_eq!(parse(&path).key(), container, "{path}");
        }
        let uid_in_slice = UID.replace('-', "_");
        let pod = format!("kubepods-burstable-pod{uid_in_slice}.slice");
        check(
            &format!("/kubepods.slice/kubepods-burstable.slice/{pod}/cri-containerd-{ID}.scope"),
            &container,
            Some(&pod),
            Some(UID),
        );
        check(
            &format!("/kubepods/burstable/pod{UID}/{ID}"),
            &container,
            None,
            Some(UID),
        );
    }
}
