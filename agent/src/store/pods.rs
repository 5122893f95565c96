//! The pods that Kubernetes told of.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

use super::{Store, StoreError, error::Attempt, micros, timestamp};

/// A pod as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredPod {
    pub uid: String,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub service_account: Option<String>,
    /// Kind and name.
    pub owner: Option<(String, String)>,
    /// Id, name and image of each.
    pub containers: Vec<[String; 3]>,
    pub node: Option<String>,
}

const KEEP: &str = "keep the pods";
const RECALL: &str = "recall the pods";

impl Store {
    /// Keeps `pods` and no others.
    ///
    /// # Errors
    ///
    /// When the database fails; the former ones are kept then.
    pub fn keep_pods(&mut self, pods: &[StoredPod], at: Timestamp) -> Result<(), StoreError> {
        let transaction = self.connection.transaction().attempt(KEEP)?;
        transaction.execute("DELETE FROM pod", []).attempt(KEEP)?;
        for pod in pods {
            insert(&transaction, pod).attempt(KEEP)?;
        }
        transaction.commit().attempt(KEEP)?;
        self.pods_are_current(at)
    }

    /// Notes that the pods that are kept were current at that instant.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn pods_are_current(&mut self, at: Timestamp) -> Result<(), StoreError> {
        let text = "INSERT INTO pods_current (id, at) VALUES (1, ?1)
                    ON CONFLICT (id) DO UPDATE SET at = ?1";
        let statement = self.connection.prepare_cached(text);
        statement
            .and_then(|mut statement| statement.execute([micros(at)]))
            .attempt("note that the pods are current")?;
        Ok(())
    }

    /// The pods that were kept, and when they were current.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn pods(&self) -> Result<(Vec<StoredPod>, Option<Timestamp>), StoreError> {
        let at = self
            .connection
            .query_row("SELECT at FROM pods_current", [], |row| row.get(0))
            .optional()
            .attempt(RECALL)?;
        let mut pods = self.bare_pods().attempt(RECALL)?;
        self.add_labels(&mut pods).attempt(RECALL)?;
        self.add_containers(&mut pods).attempt(RECALL)?;
        Ok((pods.into_values().collect(), at.map(timestamp)))
    }

    fn bare_pods(&self) -> Result<BTreeMap<String, StoredPod>, rusqlite::Error> {
        let text = "SELECT uid, namespace, name, service_account, owner_kind, owner_name, node
                    FROM pod";
        let mut statement = self.connection.prepare(text)?;
        let rows = statement.query_map([], |row| {
            let owner: (Option<String>, Option<String>) = (row.get(4)?, row.get(5)?);
            Ok(StoredPod {
                uid: row.get(0)?,
                namespace: row.get(1)?,
                name: row.get(2)?,
                service_account: row.get(3)?,
                owner: owner.0.zip(owner.1),
                node: row.get(6)?,
                ..StoredPod::default()
            })
        })?;
        rows.map(|row| row.map(|pod| (pod.uid.clone(), pod)))
            .collect()
    }

    fn add_labels(&self, pods: &mut BTreeMap<String, StoredPod>) -> Result<(), rusqlite::Error> {
        let text = "SELECT pod, name, value FROM pod_label";
        let mut statement = self.connection.prepare(text)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(pod) = pods.get_mut(row.get_ref(0)?.as_str()?) {
                pod.labels.insert(row.get(1)?, row.get(2)?);
            }
        }
        Ok(())
    }

    fn add_containers(
        &self,
        pods: &mut BTreeMap<String, StoredPod>,
    ) -> Result<(), rusqlite::Error> {
        let text = "SELECT pod, id, name, image FROM pod_container ORDER BY pod, position";
        let mut statement = self.connection.prepare(text)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if let Some(pod) = pods.get_mut(row.get_ref(0)?.as_str()?) {
                pod.containers.push([row.get(1)?, row.get(2)?, row.get(3)?]);
            }
        }
        Ok(())
    }
}

fn insert(transaction: &Transaction<'_>, pod: &StoredPod) -> Result<(), rusqlite::Error> {
    let StoredPod {
        uid,
        namespace,
        name,
        labels,
        service_account,
        owner,
        containers,
        node,
    } = pod;
    let (kind, owner) = owner.as_ref().map(|(kind, name)| (kind, name)).unzip();
    transaction
        .prepare_cached(
            "INSERT INTO pod
                 (uid, namespace, name, service_account, owner_kind, owner_name, node)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            uid,
            namespace,
            name,
            service_account,
            kind,
            owner,
            node
        ])?;
    let text = "INSERT INTO pod_label (pod, name, value) VALUES (?1, ?2, ?3)";
    let mut statement = transaction.prepare_cached(text)?;
    for (name, value) in labels {
        statement.execute(params![uid, name, value])?;
    }
    let text = "INSERT INTO pod_container (pod, position, id, name, image)
                VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = transaction.prepare_cached(text)?;
    for (position, [id, name, image]) in containers.iter().enumerate() {
        statement.execute(params![uid, position as i64, id, name, image])?;
    }
    Ok(())
}
