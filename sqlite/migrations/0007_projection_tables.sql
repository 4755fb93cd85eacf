-- The tables and views that projections have made for themselves, and which
-- version has made each by which statements. Names compare as SQLite compares
-- them.
CREATE TABLE projection_tables (
    name       TEXT    NOT NULL COLLATE NOCASE PRIMARY KEY,
    kind       TEXT    NOT NULL CHECK (kind IN ('table', 'view')),
    projection TEXT    NOT NULL,
    version    INTEGER NOT NULL,
    definition TEXT    NOT NULL
) STRICT, WITHOUT ROWID;
