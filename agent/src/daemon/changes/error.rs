//! Why nothing was changed.

use thiserror::Error;

use crate::{
    policy::{Kind, RenderError, StepError},
    store::StoreError,
};

/// Why nothing was changed.
#[derive(Debug, Error)]
pub enum ChangeError {
    #[error("the policy has mistakes")]
    Invalid(Vec<String>),
    #[error("the name `{name}` is taken by another {} ({source_name})", kind.name())]
    Exists {
        kind: Kind,
        name: String,
        source_name: String,
    },
    #[error("there is no {} `{name}`", kind.name())]
    NotFound { kind: Kind, name: String },
    #[error("{} `{name}` stands in {file}: change it there", kind.name())]
    InFile {
        kind: Kind,
        name: String,
        file: String,
    },
    #[error("expected one {}", .0.name())]
    Unexpected(Kind),
    #[error(
        "the grant `{name}` is not as you have seen it: look at it with `weir grant show {name}`"
    )]
    Other { name: String },
    #[error("grant `{name}`: {error}")]
    Step { name: String, error: StepError },
    #[error("the kernel side refused")]
    NotInstalled(Vec<String>),
    #[error("render the object")]
    Render(#[from] RenderError),
    #[error("remember the change")]
    Store(#[from] StoreError),
}
