//! Reads policy files: YAML documents of four kinds, and tests beside them, every error with its
//! place.

mod case;
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

use super::{
    Kind, Located, Metadata, Object, PolicyError, PolicyTest, Position, object::API_VERSION,
};

const DOCUMENT: Allowed = Allowed {
    fields: &["apiVersion", "kind", "metadata", "spec"],
};

const METADATA: Allowed = Allowed {
    fields: &["name", "annotations"],
};

/// Reads the objects of one file.
///
/// # Errors
/// All errors of the file; no object counts if there is any.
pub fn parse(file: &str, text: &str) -> Result<Vec<Located<Object>>, Vec<PolicyError>> {
    let documents = documents(file, text)?;
    let objects = documents.into_iter().filter_map(|document| match document {
        Document::Object(object) => Some(*object),
        Document::Test(_) => None,
    });
    Ok(objects.collect())
}

/// Reads the tests of one file, which have no part in its policy.
///
/// # Errors
/// All errors of the file; no test counts if there is any.
pub fn parse_tests(file: &str, text: &str) -> Result<Vec<Located<PolicyTest>>, Vec<PolicyError>> {
    let documents = documents(file, text)?;
    let tests = documents.into_iter().filter_map(|document| match document {
        Document::Object(_) => None,
        Document::Test(test) => Some(test),
    });
    Ok(tests.collect())
}

enum Document {
    Object(Box<Located<Object>>),
    Test(Located<PolicyTest>),
}

/// What a document says that it is.
#[derive(Clone, Copy)]
enum DocumentKind {
    Object(Kind),
    Test,
}

impl DocumentKind {
    fn all() -> Vec<Self> {
        let objects = Kind::ALL.into_iter().map(Self::Object);
        objects.chain([Self::Test]).collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Object(kind) => kind.name(),
            Self::Test => "PolicyTest",
        }
    }
}

fn documents(file: &str, text: &str) -> Result<Vec<Document>, Vec<PolicyError>> {
    let options = serde_saphyr::options! {
        merge_keys: MergeKeyPolicy::Error,
        budget: serde_saphyr::budget! {
            max_documents: 1_000_000,
        },
    };
    let mut documents = Vec::new();
    let mut errors = Vec::new();
    let mut bytes = text.as_bytes();
    for document in serde_saphyr::read_with_options::<_, Spanned<Node>>(&mut bytes, options) {
        match document {
            Ok(document) => {
                let mut reader = Reader::new(file);
                documents.extend(read_document(&mut reader, &document));
                errors.append(&mut reader.errors);
            }
            Err(error) => errors.push(syntax_error(file, &error)),
        }
    }
    if errors.is_empty() {
        Ok(documents)
    } else {
        Err(errors)
    }
}

fn syntax_error(file: &str, error: &serde_saphyr::Error) -> PolicyError {
    let at = error.location().map(position).unwrap_or_default();
    let message = UserMessageFormatter.format_message(error.without_snippet());
    PolicyError::new(file, at, "yaml", message)
}

fn read_document(reader: &mut Reader<'_>, document: &Spanned<Node>) -> Option<Document> {
    let root = Field {
        path: String::new(),
        at: position(document.referenced),
        node: &document.value,
    };
    let fields = reader.fields(&root, &DOCUMENT)?;
    let version = reader.required(&fields, "apiVersion", &format!("write `{API_VERSION}`"));
    let version_is_known = version.is_some_and(|field| is_known_version(reader, field));
    let kinds = DocumentKind::all();
    let all_kinds: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
    let all_kinds = all_kinds.join(", ");
    let kind = reader
        .required(&fields, "kind", &format!("write one of {all_kinds}"))
        .and_then(|field| reader.word(field, &kinds, DocumentKind::name));
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
    match kind {
        DocumentKind::Object(kind) => {
            let spec = spec::read(reader, spec, kind, name, &place);
            let (spec, metadata) = (spec?, metadata?);
            let object = located(reader, place, root.at, Object { metadata, spec });
            version_is_known.then(|| Document::Object(Box::new(object)))
        }
        DocumentKind::Test => {
            let cases = case::read(reader, spec);
            let (cases, name) = (cases?, metadata?.name);
            let test = located(reader, place, root.at, PolicyTest { name, cases });
            version_is_known.then_some(Document::Test(test))
        }
    }
}

fn located<T>(reader: &mut Reader<'_>, place: Place, at: Position, value: T) -> Located<T> {
    Located {
        file: place.file,
        at,
        value,
        places: std::mem::take(&mut reader.places),
    }
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
    kind: Option<DocumentKind>,
) -> Option<Metadata> {
    let fields = reader.fields(field, &METADATA)?;
    let name = reader.required(&fields, "name", "give the object a name");
    if let Some(field) = name {
        reader.remember(field);
    }
    let has_parts = matches!(kind, Some(DocumentKind::Object(Kind::ModelEndpoint)));
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
