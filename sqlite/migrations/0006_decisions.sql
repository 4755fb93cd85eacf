-- What is decided about each version of a projection. A row changes only if it
-- still has the revision that it was read with. Times are microseconds since
-- 1970 in UTC; paused_at and ordered_at are NULL if nobody has paused or asked
-- for anything.
CREATE TABLE projections (
    projection     TEXT    NOT NULL,
    version        INTEGER NOT NULL,
    state          TEXT    NOT NULL,
    since          INTEGER NOT NULL,
    lanes          INTEGER NOT NULL,
    finished       INTEGER NOT NULL,
    pause_reason   TEXT    NOT NULL,
    pause_by       TEXT    NOT NULL,
    paused_at      INTEGER,
    order_kind     TEXT    NOT NULL,
    order_lanes    INTEGER NOT NULL,
    order_position INTEGER NOT NULL,
    order_reason   TEXT    NOT NULL,
    order_by       TEXT    NOT NULL,
    ordered_at     INTEGER,
    order_problem  TEXT    NOT NULL,
    revision       INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL,
    PRIMARY KEY (projection, version)
) STRICT, WITHOUT ROWID;

-- Readers see one version of a projection.
CREATE UNIQUE INDEX projections_that_are_live ON projections (projection) WHERE state = 'live';

-- How often a letter was tried since it was parked, and up to which position a
-- sequence is tried next; 0 is no bound.
ALTER TABLE dead_letters ADD COLUMN redrives INTEGER NOT NULL DEFAULT 0;
ALTER TABLE discarded_letters ADD COLUMN redrives INTEGER NOT NULL DEFAULT 0;
ALTER TABLE dead_letter_sequences ADD COLUMN until_position INTEGER NOT NULL DEFAULT 0;
