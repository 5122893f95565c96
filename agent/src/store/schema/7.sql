-- One content of one grant's name, from the request on. The steps are never rewritten.
CREATE TABLE grant_life (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    name   TEXT NOT NULL,
    digest TEXT NOT NULL,
    -- Why it needs approval, a line each.
    needs  TEXT NOT NULL,
    -- 0: its object is not in force yet; 1: it is the life of its name; 2: its object is gone.
    place  INTEGER NOT NULL
) STRICT;
CREATE INDEX grant_life_name ON grant_life (name);
CREATE INDEX grant_life_open ON grant_life (place) WHERE place < 2;

CREATE TABLE grant_step (
    life     INTEGER NOT NULL REFERENCES grant_life (id),
    position INTEGER NOT NULL,
    step     TEXT NOT NULL,
    -- Null for the agent itself.
    uid      INTEGER,
    login    INTEGER,
    at       INTEGER NOT NULL,
    why      TEXT NOT NULL,
    PRIMARY KEY (life, position)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER grant_step_stays BEFORE UPDATE ON grant_step
BEGIN SELECT RAISE(ABORT, 'a step is never rewritten'); END;
CREATE TRIGGER grant_step_is_kept BEFORE DELETE ON grant_step
BEGIN SELECT RAISE(ABORT, 'a step is never removed'); END;
