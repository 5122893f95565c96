//! Reads systemd, container and Kubernetes names out of cgroup paths.
//!
//! A path is read from the outside in. Slices, and directories in which runtimes keep containers, are
//! made by root, and so are the names in them. Whoever runs in a unit, a container or any other
//! directory may make cgroups there and name them as it likes: those names tell its parts from each
//! other and nothing else.

mod component;

use component::{Component, Keeper};

use super::{Labels, Layout};

/// What a path says.
pub(super) fn parse(path: &str, layout: &Layout<'_>) -> Labels {
    walk(path, layout).labels
}

/// The outermost directory below which there are no names: it is no unit and no container, and what is
/// below it is made by whoever was given it.
pub(super) fn given<'p>(path: &'p str, layout: &Layout<'_>) -> Option<&'p str> {
    path.get(..walk(path, layout).given?)
}

fn walk(path: &str, layout: &Layout<'_>) -> Walk {
    let mut walk = Walk {
        labels: Labels {
            cgroup: if path.is_empty() { "/" } else { path }.to_owned(),
            ..Labels::default()
        },
        place: Place::Host,
        nested: Vec::new(),
        given: None,
    };
    let mut parent = "";
    let mut end = 0;
    let components = path.split('/').filter(|part| !part.is_empty());
    for (index, text) in components.enumerate() {
        if index >= layout.n_by_root {
            walk.leave_trust(end);
        }
        // Parts of one path lie one after the other.
        end = text.as_ptr().addr() - path.as_ptr().addr() + text.len();
        let component = Component::read(text, parent);
        walk.enter(&component);
        if component == Component::Plain
            && !component::is_parent(text, parent)
            && !path.get(..end).is_some_and(|above| layout.has(above))
        {
            walk.leave_layout(end);
        }
        parent = text;
    }
    let nested = std::mem::take(&mut walk.nested);
    walk.labels.nested = (!nested.is_empty()).then(|| nested.join("/"));
    walk
}

struct Walk {
    labels: Labels,
    place: Place,
    nested: Vec<String>,
    /// Length of the path of the directory below which there are no names.
    given: Option<usize>,
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
    /// Whoever was given a directory that is no unit and no container: there are paths, and no names.
    Delegated,
}

impl Walk {
    /// The directory of this length belongs to somebody else than root.
    fn leave_trust(&mut self, end: usize) {
        if self.place == Place::Runtime {
            self.place = Place::Inside;
        }
        self.leave_layout(end);
    }

    /// Nobody has said that the names below the directory of this length are made by root.
    fn leave_layout(&mut self, end: usize) {
        if self.place == Place::Host {
            self.place = Place::Delegated;
            self.given = Some(end);
        }
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
