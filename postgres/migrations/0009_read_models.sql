-- Projections make views, too: in front of the tables of their live version.
ALTER TABLE evident.projection_tables ADD COLUMN kind text NOT NULL DEFAULT 'table'
    CONSTRAINT projection_tables_kind CHECK (kind IN ('table', 'view'));
ALTER TABLE evident.projection_tables ALTER COLUMN kind DROP DEFAULT;

-- Inline projections that are being built: beside the version that appends
-- keep up to date, or while appends pass over them, which the store's row says
-- as "titles v1 (rebuilding)". Events up to the position are in their tables.
-- Whoever builds holds the row until the end of his transaction.
CREATE TABLE evident.inline_builds (
    projection text COLLATE "C" NOT NULL,
    version    bigint      NOT NULL,
    position   bigint      NOT NULL,
    finished   boolean     NOT NULL DEFAULT false,
    started_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (projection, version)
);
