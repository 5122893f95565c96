-- What the watch for anomalies has learnt; `state` is opaque, of the layout that `anomaly_watch` names.
CREATE TABLE anomaly_watch (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    layout INTEGER NOT NULL,
    state  BLOB NOT NULL
) STRICT;

CREATE TABLE anomaly_series (
    identity INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    state    BLOB NOT NULL,
    PRIMARY KEY (identity, endpoint)
) STRICT, WITHOUT ROWID;

-- What an identity was seen to run.
CREATE TABLE anomaly_version (
    identity INTEGER NOT NULL,
    version  INTEGER NOT NULL,
    seen     INTEGER NOT NULL,
    PRIMARY KEY (identity, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE anomaly (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT NOT NULL,
    identity INTEGER,
    endpoint INTEGER,
    grant_name TEXT,
    began    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    -- NULL while it goes on.
    ended    INTEGER,
    score    REAL,
    excess   REAL NOT NULL,
    told     REAL NOT NULL,
    summary  TEXT NOT NULL,
    -- A JSON object.
    facts    TEXT NOT NULL,
    -- Nobody is told of it.
    is_muted INTEGER NOT NULL,
    response TEXT NOT NULL DEFAULT '',
    acked    INTEGER,
    acked_by TEXT,
    ack_why  TEXT
) STRICT;
CREATE INDEX anomaly_by_time ON anomaly (last);

CREATE TABLE anomaly_mute (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    kind     TEXT,
    identity TEXT,
    endpoint TEXT,
    until    INTEGER NOT NULL,
    made     INTEGER NOT NULL,
    made_by  TEXT NOT NULL,
    why      TEXT NOT NULL
) STRICT;

-- What somebody is still to be told of.
CREATE TABLE anomaly_notice (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    anomaly INTEGER NOT NULL REFERENCES anomaly (id),
    sink    TEXT NOT NULL,
    made    INTEGER NOT NULL
) STRICT;
