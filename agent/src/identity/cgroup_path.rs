//! Reads systemd, container and Kubernetes names out of cgroup paths.
//!
//! A path is read from the outside in. Slices and directories above the first unit or container
//! are made by root, and so are their names. Whoever runs below may make cgroups there and name
//! them as it likes: those names tell its parts from each other and nothing else.

mod component;

use component::{Component, Keeper};

use super::Labels;

/// Only the first `n_trusted` directories are made by root.
pub(super) fn parse(path: &str, n_trusted: usize) -> Labels {
    let mut walk = Walk {
        labels: Labels {
            cgroup: if path.is_empty() { "/" } else { path }.to_owned(),
            ..Labels::default()
        },
        place: Place::Host,
        nested: Vec::new(),
    };
    let mut parent = "";
    let components = path.split('/').filter(|part| !part.is_empty());
    for (index, text) in components.enumerate() {
        if index >= n_trusted {
            walk.leave_trust();
        }
        walk.enter(&Component::read(text, parent));
        parent = text;
    }
    let Walk {
        mut labels, nested, ..
    } = walk;
    labels.nested = (!nested.is_empty()).then(|| nested.join("/"));
    labels
}

struct Walk {
    labels: Labels,
    place: Place,
    nested: Vec<String>,
}

/// Who has named what is found from here on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Host,
    /// Below the service of a container runtime: the runtime, up to the container.
    Runtime,
    /// A user, for a manager of its own.
    User,
    /// A workload.
    Inside,
    /// Whoever was given a directory that is no workload: there are paths, and no names.
    Delegated,
}

impl Walk {
    fn leave_trust(&mut self) {
        self.place = match self.place {
            Place::Host => Place::Delegated,
            Place::Runtime => Place::Inside,
            Place::User | Place::Inside | Place::Delegated => self.place,
        };
    }

    fn enter(&mut self, component: &Component<'_>) {
        match self.place {
            Place::Host | Place::Runtime => self.enter_host(component),
            Place::User => self.enter_user(component),
            Place::Inside => self.nested.extend(component.nested()),
            Place::Delegated => {}
        }
    }

    fn enter_host(&mut self, component: &Component<'_>) {
        match component {
            Component::Slice { name, pod } => {
                if self.place == Place::Host {
                    self.labels.slice = Some((*name).to_owned());
                }
                self.labels.pod = pod.clone().or(self.labels.pod.take());
            }
            Component::Pod { uid } => self.labels.pod = Some(uid.clone()),
            Component::Container { id, pod, unit, .. } => {
                self.labels.container = Some((*id).to_owned());
                self.labels.pod = pod.clone().or(self.labels.pod.take());
                self.labels.unit = unit.map(str::to_owned);
                self.place = Place::Inside;
            }
            Component::Machine { name, .. } => {
                self.labels.container_name = Some((*name).to_owned());
                self.labels.unit = None;
                self.place = Place::Inside;
            }
            Component::Unit { .. } if self.place == Place::Runtime => {
                self.nested.extend(component.nested());
                self.place = Place::Inside;
            }
            Component::Unit { name, keeper } => {
                self.labels.unit = Some((*name).to_owned());
                self.place = match keeper {
                    Keeper::User => Place::User,
                    Keeper::Runtime => Place::Runtime,
                    Keeper::Itself => Place::Inside,
                };
            }
            Component::Plain => {}
        }
    }

    fn enter_user(&mut self, component: &Component<'_>) {
        match component {
            Component::Slice { pod: None, .. } | Component::Plain => {}
            Component::Unit { name, .. }
            | Component::Container {
                unit: Some(name), ..
            } => {
                self.labels.user_unit = Some((*name).to_owned());
                self.place = Place::Inside;
            }
            Component::Slice { .. }
            | Component::Pod { .. }
            | Component::Container { .. }
            | Component::Machine { .. } => {
                self.nested.extend(component.nested());
                self.place = Place::Inside;
            }
        }
    }
}

#[cfg(test)]
mod tests;
