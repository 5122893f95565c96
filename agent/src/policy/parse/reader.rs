//! Typed access to a document that collects errors instead of stopping at the first.
//!
//! A reading function returns `None` when it has reported an error or when a field is absent.

use std::collections::BTreeMap;

use super::node::{Node, position};
use crate::policy::{PolicyError, Position};

/// A value and the path that leads to it.
#[derive(Clone)]
pub(super) struct Field<'n> {
    pub path: String,
    pub at: Position,
    pub node: &'n Node,
}

/// The fields of a mapping.
pub(super) struct Fields<'n> {
    path: String,
    at: Position,
    entries: BTreeMap<&'n str, Field<'n>>,
}

/// What a mapping may contain.
pub(super) struct Allowed {
    pub fields: &'static [&'static str],
}

pub(super) struct Reader<'f> {
    file: &'f str,
    pub errors: Vec<PolicyError>,
    pub places: BTreeMap<String, Position>,
}

impl<'n> Fields<'n> {
    pub(super) fn get(&self, name: &str) -> Option<&Field<'n>> {
        self.entries.get(name)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }
}

impl<'f> Reader<'f> {
    pub(super) fn new(file: &'f str) -> Self {
        Self {
            file,
            errors: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    pub(super) fn file(&self) -> String {
        self.file.to_owned()
    }

    pub(super) fn error(&mut self, at: Position, path: &str, message: impl Into<String>) {
        let path = if path.is_empty() { "document" } else { path };
        self.errors
            .push(PolicyError::new(self.file, at, path, message));
    }

    pub(super) fn refuse(&mut self, field: &Field<'_>, message: impl Into<String>) {
        self.error(field.at, &field.path, message);
    }

    /// Keeps the place of `field` for checks across objects.
    pub(super) fn remember(&mut self, field: &Field<'_>) {
        self.places.insert(field.path.clone(), field.at);
    }

    pub(super) fn fields<'n>(
        &mut self,
        field: &Field<'n>,
        allowed: &Allowed,
    ) -> Option<Fields<'n>> {
        let Node::Map(pairs) = field.node else {
            self.wrong_type(field, "a mapping");
            return None;
        };
        let mut entries = BTreeMap::new();
        for (key, value) in pairs {
            let name = key.value.as_str();
            let path = join(&field.path, name);
            if allowed.fields.contains(&name) {
                let entry = Field {
                    path,
                    at: position(value.referenced),
                    node: &value.value,
                };
                entries.insert(name, entry);
            } else {
                let message = format!("unknown field; allowed are {}", allowed.fields.join(", "));
                self.error(position(key.referenced), &path, message);
            }
        }
        Some(Fields {
            path: field.path.clone(),
            at: field.at,
            entries,
        })
    }

    pub(super) fn required<'n, 'm>(
        &mut self,
        fields: &'m Fields<'n>,
        name: &str,
        what: &str,
    ) -> Option<&'m Field<'n>> {
        let found = fields.get(name);
        if found.is_none() {
            self.error(
                fields.at,
                &fields.path_of(name),
                format!("is missing: {what}"),
            );
        }
        found
    }

    pub(super) fn text<'n>(&mut self, field: &Field<'n>) -> Option<&'n str> {
        match field.node {
            Node::Text(text) => Some(text),
            Node::Integer(_) | Node::Number(_) | Node::Flag(_) => {
                let found = field.node.description();
                self.refuse(
                    field,
                    format!("must be text, found {found}: put it in quotes"),
                );
                None
            }
            Node::Nothing | Node::List(_) | Node::Map(_) => {
                self.wrong_type(field, "text");
                None
            }
        }
    }

    pub(super) fn flag(&mut self, field: &Field<'_>) -> Option<bool> {
        if let Node::Flag(flag) = field.node {
            return Some(*flag);
        }
        self.wrong_type(field, "true or false");
        None
    }

    /// A list that is not empty.
    pub(super) fn list<'n>(&mut self, field: &Field<'n>) -> Vec<Field<'n>> {
        let Node::List(items) = field.node else {
            self.wrong_type(field, "a list");
            return Vec::new();
        };
        if items.is_empty() {
            self.refuse(field, "must not be empty");
        }
        let items = items.iter().enumerate();
        items
            .map(|(index, item)| Field {
                path: format!("{}[{index}]", field.path),
                at: position(item.referenced),
                node: &item.value,
            })
            .collect()
    }

    /// One of a closed set of words.
    pub(super) fn word<T: Copy>(
        &mut self,
        field: &Field<'_>,
        all: &[T],
        name: impl Fn(T) -> &'static str,
    ) -> Option<T> {
        let words: Vec<_> = all.iter().map(|word| name(*word)).collect();
        let allowed = words.join(", ");
        let Node::Text(text) = field.node else {
            self.wrong_type(field, &format!("one of {allowed}"));
            return None;
        };
        let found = all.iter().copied().find(|word| name(*word) == text);
        if found.is_none() {
            let message = format!("unknown value `{text}`; allowed are {allowed}");
            self.refuse(field, message);
        }
        found
    }

    pub(super) fn wrong_type(&mut self, field: &Field<'_>, wanted: &str) {
        let found = field.node.description();
        self.refuse(field, format!("must be {wanted}, found {found}"));
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
