-- The last pods that Kubernetes told of: a restarted agent knows them while nobody answers.
CREATE TABLE pod (
    uid             TEXT PRIMARY KEY,
    namespace       TEXT NOT NULL,
    name            TEXT NOT NULL,
    service_account TEXT,
    owner_kind      TEXT,
    owner_name      TEXT,
    node            TEXT
) STRICT, WITHOUT ROWID;

CREATE TABLE pod_label (
    pod   TEXT NOT NULL REFERENCES pod (uid) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (pod, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE pod_container (
    pod      TEXT NOT NULL REFERENCES pod (uid) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    id       TEXT NOT NULL,
    name     TEXT NOT NULL,
    image    TEXT NOT NULL,
    PRIMARY KEY (pod, position)
) STRICT, WITHOUT ROWID;

-- When they were known to be current.
CREATE TABLE pods_current (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    at INTEGER NOT NULL
) STRICT;
