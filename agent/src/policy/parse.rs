//! Reads policy files: YAML documents of four kinds, every error with its place.

mod limits;
mod node;
mod part;
mod reader;
mod spec;
mod subject;
mod value;

use std::collections::BTreeMap;

use node::{Node, position};
use reader::{Allowed, Field, Reader};
use serde_saphyr::{MergeKeyPolicy, MessageFormatter, Spanned, UserMessageFormatter};

use super::{Kind, Located, Metadata, Object, PolicyError, object::API_VERSION};

const DOCUMENT: Allowed = Allowed {
    fields: &["apiVersion", "kind", "metadata", "spec"],
    unenforceable: &[],
};

const METADATA: Allowed = Allowed {
    fields: &["name", "annotations"],
    unenforceable: &[],
};

/// Reads the documents of one file.
///
/// # Errors
/// All errors of the file; no object counts if there is any.
pub fn parse(file: &str, text: &str) -> Result<Vec<Located<Object>>, Vec<PolicyError>> {
    let options = serde_saphyr::options! {
        merge_keys: MergeKeyPolicy::Error,
        budget: serde_saphyr::budget! {
            max_documents: 1_000_000,
        },
    };
    let mut objects = Vec::new();
    let mut errors = Vec::new();
    let mut bytes = text.as_bytes();
    for document in serde_saphyr::read_with_options::<_, Spanned<Node>>(&mut bytes, options) {
        match document {
            Ok(document) => {
                let mut reader = Reader::new(file);
                objects.extend(read_document(&mut reader, &document));
                errors.append(&mut reader.errors);
            }
            Err(error) => errors.push(syntax_error(file, &error)),
        }
    }
    if errors.is_empty() {
        Ok(objects)
    } else {
        Err(errors)
    }
}

fn syntax_error(file: &str, error: &serde_saphyr::Error) -> PolicyError {
    let at = error.location().map(position).unwrap_or_default();
    let message = UserMessageFormatter.format_message(error.without_snippet());
    PolicyError::new(file, at, "yaml", message)
}

fn read_document(reader: &mut Reader<'_>, document: &Spanned<Node>) -> Option<Located<Object>> {
    let root = Field {
        path: String::new(),
        at: position(document.referenced),
        node: &document.value,
    };
    let fields = reader.fields(&root, &DOCUMENT)?;
    let version = reader.required(&fields, "apiVersion", &format!("write `{API_VERSION}`"));
    let version_is_known = version.is_some_and(|field| is_known_version(reader, field));
    let all_kinds = Kind::ALL.map(Kind::name).join(", ");
    let kind = reader
        .required(&fields, "kind", &format!("write one of {all_kinds}"))
        .and_then(|field| reader.word(field, &Kind::ALL, Kind::name));
    let metadata = reader
        .required(&fields, "metadata", "give the object a name")
        .and_then(|field| read_metadata(reader, field, kind));
    let spec = reader.required(&fields, "spec", "say what the object does");
    let (kind, spec, metadata) = (kind?, spec?, metadata);
    let place = Place {
        file: reader.file(),
        line: root.at.line,
    };
    let name = metadata
        .as_ref()
        .map_or("", |metadata| metadata.name.as_str());
    let spec = spec::read(reader, spec, kind, name, &place);
    let (spec, metadata) = (spec?, metadata?);
    version_is_known.then(|| Located {
        file: place.file,
        at: root.at,
        value: Object { metadata, spec },
        places: std::mem::take(&mut reader.places),
    })
}

/// Where an object stands, for [`crate::endpoint::Source`].
struct Place {
    file: String,
    line: u64,
}

fn is_known_version(reader: &mut Reader<'_>, field: &Field<'_>) -> bool {
    reader
        .word(field, &[API_VERSION], |version| version)
        .is_some()
}

fn read_metadata(
    reader: &mut Reader<'_>,
    field: &Field<'_>,
    kind: Option<Kind>,
) -> Option<Metadata> {
    let fields = reader.fields(field, &METADATA)?;
    let name = reader.required(&fields, "name", "give the object a name");
    if let Some(field) = name {
        reader.remember(field);
    }
    let has_parts = kind == Some(Kind::ModelEndpoint);
    let name = name.and_then(|field| value::name(reader, field, has_parts));
    let annotations = fields.get("annotations").map_or_else(
        || Some(BTreeMap::new()),
        |field| value::texts(reader, field),
    );
    Some(Metadata {
        name: name?,
        annotations: annotations?,
    })
}

#[cfg(test)]
mod tests;
