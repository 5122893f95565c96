//! What a source file names, and how long it is without its tests.

use std::collections::BTreeSet;

use anyhow::Result;
use syn::{
    Attribute, Item, ItemMod, ItemUse, Meta, UseTree,
    spanned::Spanned as _,
    visit::{self, Visit},
};

#[derive(Debug)]
pub(crate) struct Source {
    pub n_lines: usize,
    pub used: BTreeSet<Used>,
}

/// A path and where it stands.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Used {
    pub line: usize,
    pub path: String,
}

pub(crate) fn read(text: &str) -> Result<Source> {
    let mut reader = Reader::default();
    reader.visit_file(&syn::parse_file(text)?);
    Ok(Source {
        n_lines: text.lines().count().saturating_sub(reader.n_test_lines),
        used: reader.used,
    })
}

#[derive(Default)]
struct Reader {
    used: BTreeSet<Used>,
    n_test_lines: usize,
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_test(item) {
            let span = item.span();
            self.n_test_lines += span.end().line + 1 - span.start().line;
        } else {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        self.add_tree(&item.tree, "");
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let names: Vec<String> = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        // A single name is an item in scope: its `use` line, if it has one, is what counts.
        if names.len() > 1 {
            self.add(path.span().start().line, names.join("::"));
        }
        visit::visit_path(self, path);
    }
}

impl Reader {
    fn add_tree(&mut self, tree: &UseTree, prefix: &str) {
        match tree {
            UseTree::Path(path) => {
                self.add_tree(&path.tree, &format!("{prefix}{}::", path.ident));
            }
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.add_tree(tree, prefix);
                }
            }
            UseTree::Name(name) => self.add_leaf(prefix, &name.ident),
            UseTree::Rename(rename) => self.add_leaf(prefix, &rename.ident),
            UseTree::Glob(glob) => {
                let path = prefix.trim_end_matches("::").to_owned();
                self.add(glob.span().start().line, path);
            }
        }
    }

    fn add_leaf(&mut self, prefix: &str, name: &syn::Ident) {
        let path = format!("{prefix}{name}");
        // `use std::fs::{self}` names `std::fs`.
        let path = path.trim_end_matches("::self").to_owned();
        self.add(name.span().start().line, path);
    }

    fn add(&mut self, line: usize, path: String) {
        self.used.insert(Used { line, path });
    }
}

/// `#[cfg(test)]` in any form that holds only for tests, and `#[test]` functions.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "syn may add kinds of items, and only these four carry tests"
)]
fn is_test(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(ItemMod { attrs, .. }) => attrs,
        Item::Fn(function) => &function.attrs,
        Item::Use(import) => &import.attrs,
        Item::Impl(block) => &block.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) => {
            list.path.is_ident("cfg")
                && list
                    .parse_args::<syn::Path>()
                    .is_ok_and(|flag| flag.is_ident("test"))
        }
        Meta::NameValue(_) => false,
    })
}
