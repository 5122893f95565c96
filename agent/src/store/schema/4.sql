-- Tasks whose cgroups may still be there. Cgroup ids start again with each boot.
CREATE TABLE task (
    id            TEXT PRIMARY KEY,
    boot          TEXT NOT NULL,
    cgroup_id     INTEGER NOT NULL,
    cgroup        TEXT NOT NULL,
    caller_cgroup INTEGER NOT NULL,
    uid           INTEGER NOT NULL,
    pid           INTEGER NOT NULL,
    pid_start_ns  INTEGER NOT NULL,
    is_over       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
