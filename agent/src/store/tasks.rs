//! Tasks whose cgroups may still be there: a restarted agent goes on with them.

use rusqlite::params;

use super::{Store, StoreError, error::Attempt, from_sql, to_sql};

/// A task as it was registered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredTask {
    pub id: String,
    /// Boot of the host in which its cgroup id holds.
    pub boot: String,
    pub cgroup_id: u64,
    /// Path of the cgroup below the root, `/` first.
    pub cgroup: String,
    /// Id of the cgroup of the process that asked.
    pub caller_cgroup: u64,
    /// User and process that asked.
    pub uid: u32,
    pub pid: u32,
    /// When the process started, in nanoseconds of the boot clock.
    pub pid_start_ns: u64,
    /// The lease has ended.
    pub is_over: bool,
}

impl Store {
    /// Adds a task, or replaces the one of its id.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn put_task(&mut self, task: &StoredTask) -> Result<(), StoreError> {
        let StoredTask {
            id,
            boot,
            cgroup_id,
            cgroup,
            caller_cgroup,
            uid,
            pid,
            pid_start_ns,
            is_over,
        } = task;
        let (cgroup_id, caller_cgroup) = (to_sql(*cgroup_id), to_sql(*caller_cgroup));
        let pid_start_ns = to_sql(*pid_start_ns);
        self.connection
            .execute(
                "INSERT OR REPLACE INTO task (id, boot, cgroup_id, cgroup, caller_cgroup, uid, pid,
                     pid_start_ns, is_over) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                params![
                    id,
                    boot,
                    cgroup_id,
                    cgroup,
                    caller_cgroup,
                    uid,
                    pid,
                    pid_start_ns,
                    is_over
                ],
            )
            .map(drop)
            .attempt("keep a task")
    }

    /// Forgets a task; `false` if there is none.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn remove_task(&mut self, id: &str) -> Result<bool, StoreError> {
        self.connection
            .execute("DELETE FROM task WHERE id = ?1", [id])
            .map(|removed| removed > 0)
            .attempt("forget a task")
    }

    /// All tasks, those of earlier boots included.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub fn tasks(&self) -> Result<Vec<StoredTask>, StoreError> {
        self.rows(
            "SELECT id, boot, cgroup_id, cgroup, caller_cgroup, uid, pid, pid_start_ns, is_over
             FROM task ORDER BY id",
            |row| {
                Ok(StoredTask {
                    id: row.get(0)?,
                    boot: row.get(1)?,
                    cgroup_id: from_sql(row.get(2)?),
                    cgroup: row.get(3)?,
                    caller_cgroup: from_sql(row.get(4)?),
                    uid: row.get(5)?,
                    pid: row.get(6)?,
                    pid_start_ns: from_sql(row.get(7)?),
                    is_over: row.get(8)?,
                })
            },
        )
    }
}
