-- What is decided about each version of a projection. A row changes only if it
-- still has the revision that it was read with; paused_at and ordered_at are
-- NULL if nobody has paused or asked for anything.
CREATE TABLE evident.projections (
    projection     text COLLATE "C" NOT NULL,
    version        bigint      NOT NULL,
    state          text COLLATE "C" NOT NULL,
    since          timestamptz NOT NULL,
    lanes          bigint      NOT NULL,
    finished       boolean     NOT NULL,
    pause_reason   text        NOT NULL,
    pause_by       text COLLATE "C" NOT NULL,
    paused_at      timestamptz,
    order_kind     text COLLATE "C" NOT NULL,
    order_lanes    bigint      NOT NULL,
    order_position bigint      NOT NULL,
    order_reason   text        NOT NULL,
    order_by       text COLLATE "C" NOT NULL,
    ordered_at     timestamptz,
    order_problem  text        NOT NULL,
    revision       bigint      NOT NULL,
    updated_at     timestamptz NOT NULL,
    PRIMARY KEY (projection, version)
);

-- Readers see one version of a projection.
CREATE UNIQUE INDEX projections_that_are_live ON evident.projections (projection) WHERE state = 'live';

-- How often a letter was tried since it was parked, and up to which position a
-- sequence is tried next; 0 is no bound.
ALTER TABLE evident.dead_letters ADD COLUMN redrives bigint NOT NULL DEFAULT 0;
ALTER TABLE evident.discarded_letters ADD COLUMN redrives bigint NOT NULL DEFAULT 0;
ALTER TABLE evident.dead_letter_sequences ADD COLUMN until_position bigint NOT NULL DEFAULT 0;
