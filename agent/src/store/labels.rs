//! Labels of identities as the database keeps them: some columns, and one JSON object.

use std::collections::BTreeMap;

use rusqlite::{
    Row, ToSql,
    types::{ToSqlOutput, Type},
};
use serde::{Deserialize, Serialize};

use crate::identity::{Labels, LocalUser};

/// The column `more`. What an older program has not written is absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct More {
    #[serde(skip_serializing_if = "Option::is_none")]
    user_unit: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nested: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    container_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_account: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pod_labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "is_false")]
    is_unresolved: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exe: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<User>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    uid: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl From<&Labels> for More {
    fn from(labels: &Labels) -> Self {
        let Labels {
            cgroup: _,
            unit: _,
            slice: _,
            user_unit,
            nested,
            container: _,
            container_name,
            image,
            pod: _,
            pod_name,
            namespace,
            service_account,
            owner,
            pod_labels,
            is_unresolved,
            task,
            exe,
            user,
        } = labels.clone();
        Self {
            user_unit,
            nested,
            container_name,
            image,
            pod_name,
            namespace,
            service_account,
            owner,
            pod_labels,
            is_unresolved,
            task,
            exe,
            user: user.map(|LocalUser { uid, name }| User { uid, name }),
        }
    }
}

/// Reads `cgroup, unit, slice, container, pod, more`, which begin at column `first`.
pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Labels, rusqlite::Error> {
    let more: String = row.get(first + 5)?;
    let more: More = serde_json::from_str(&more).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(first + 5, Type::Text, Box::new(error))
    })?;
    let More {
        user_unit,
        nested,
        container_name,
        image,
        pod_name,
        namespace,
        service_account,
        owner,
        pod_labels,
        is_unresolved,
        task,
        exe,
        user,
    } = more;
    Ok(Labels {
        cgroup: row.get(first)?,
        unit: row.get(first + 1)?,
        slice: row.get(first + 2)?,
        container: row.get(first + 3)?,
        pod: row.get(first + 4)?,
        user_unit,
        nested,
        container_name,
        image,
        pod_name,
        namespace,
        service_account,
        owner,
        pod_labels,
        is_unresolved,
        task,
        exe,
        user: user.map(|User { uid, name }| LocalUser { uid, name }),
    })
}

impl ToSql for More {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, rusqlite::Error> {
        let text = serde_json::to_string(self)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(text.into())
    }
}
