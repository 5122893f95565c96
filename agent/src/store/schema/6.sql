-- What an auditor may ask for. Each hash covers its record and the hash before.
CREATE TABLE audit (
    seq      INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    action   TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    via      TEXT NOT NULL,
    uid      INTEGER,
    user     TEXT,
    pid      INTEGER,
    cgroup   TEXT,
    identity TEXT,
    kind     TEXT NOT NULL,
    name     TEXT NOT NULL,
    reason   TEXT NOT NULL,
    details  TEXT NOT NULL,
    hash     BLOB NOT NULL
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'records of the audit are never changed'); END;
CREATE TRIGGER audit_is_never_shortened BEFORE DELETE ON audit
BEGIN SELECT RAISE(ABORT, 'records of the audit are never removed'); END;

-- The newest records of one action are asked for at each start.
CREATE INDEX audit_by_action ON audit (action);

-- Invocations that no record stands for yet, and those of which one was made a short while ago.
CREATE TABLE audit_tally (
    action   TEXT NOT NULL,
    outcome  TEXT NOT NULL,
    identity INTEGER NOT NULL,
    endpoint INTEGER NOT NULL,
    reason   INTEGER NOT NULL,
    -- The last one's; 0 for none.
    rule     INTEGER NOT NULL,
    count    INTEGER NOT NULL,
    since    INTEGER NOT NULL,
    -- When the next record may be made.
    due      INTEGER NOT NULL,
    PRIMARY KEY (action, outcome, identity, endpoint, reason)
) STRICT, WITHOUT ROWID;
