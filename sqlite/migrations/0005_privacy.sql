-- Which token in the log is which person. Text compares byte by byte, tokens are
-- 16 bytes, times are microseconds since 1970 in UTC. A row that was cut has no
-- person any more, and stays so that its token is never given away again.
CREATE TABLE pseudonyms (
    token      BLOB    NOT NULL PRIMARY KEY,
    tenant_id  TEXT    NOT NULL,
    person     TEXT,
    created_at INTEGER NOT NULL,
    cut_at     INTEGER,
    reason     TEXT    NOT NULL,
    CHECK ((person IS NULL) = (cut_at IS NOT NULL))
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX pseudonyms_by_person ON pseudonyms (tenant_id, person) WHERE person IS NOT NULL;

-- All that can happen to a row is that it is cut.
CREATE TRIGGER pseudonyms_are_only_cut BEFORE UPDATE ON pseudonyms
WHEN OLD.person IS NULL OR NEW.person IS NOT NULL
  OR (NEW.token, NEW.tenant_id, NEW.created_at) IS NOT (OLD.token, OLD.tenant_id, OLD.created_at)
BEGIN
    SELECT RAISE(ABORT, 'pseudonyms are never changed, only cut');
END;

CREATE TRIGGER pseudonyms_are_not_deleted BEFORE DELETE ON pseudonyms
BEGIN
    SELECT RAISE(ABORT, 'pseudonyms are never deleted: a token must not be given away again');
END;

CREATE TRIGGER pseudonyms_are_not_replaced BEFORE INSERT ON pseudonyms
WHEN EXISTS (SELECT 1 FROM pseudonyms WHERE token = NEW.token)
  OR EXISTS (SELECT 1 FROM pseudonyms WHERE tenant_id = NEW.tenant_id AND person = NEW.person)
BEGIN
    SELECT RAISE(ABORT, 'pseudonyms are never replaced');
END;

-- Legal holds, in the order of placing. One is on a person, whose token it has,
-- on an entity, or, if it has neither, on the whole tenant.
CREATE TABLE legal_holds (
    place          INTEGER PRIMARY KEY,
    id             BLOB    NOT NULL UNIQUE,
    tenant_id      TEXT    NOT NULL,
    person         BLOB,
    entity_type    TEXT    NOT NULL,
    entity_id      TEXT    NOT NULL,
    reason         TEXT    NOT NULL,
    placed_by      TEXT    NOT NULL,
    placed_at      INTEGER NOT NULL,
    released_at    INTEGER,
    released_by    TEXT    NOT NULL DEFAULT '',
    release_reason TEXT    NOT NULL DEFAULT ''
) STRICT;

CREATE INDEX legal_holds_that_hold ON legal_holds (tenant_id) WHERE released_at IS NULL;

-- All that can happen to a hold is that it is released.
CREATE TRIGGER legal_holds_are_only_released BEFORE UPDATE ON legal_holds
WHEN OLD.released_at IS NOT NULL OR NEW.released_at IS NULL
  OR (NEW.place, NEW.id, NEW.tenant_id, NEW.person, NEW.entity_type, NEW.entity_id, NEW.reason, NEW.placed_by, NEW.placed_at)
  IS NOT (OLD.place, OLD.id, OLD.tenant_id, OLD.person, OLD.entity_type, OLD.entity_id, OLD.reason, OLD.placed_by, OLD.placed_at)
BEGIN
    SELECT RAISE(ABORT, 'holds are never changed, only released');
END;

CREATE TRIGGER legal_holds_are_not_deleted BEFORE DELETE ON legal_holds
BEGIN
    SELECT RAISE(ABORT, 'holds are never deleted');
END;

CREATE TRIGGER legal_holds_are_not_replaced BEFORE INSERT ON legal_holds
WHEN EXISTS (SELECT 1 FROM legal_holds WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM legal_holds WHERE place = NEW.place)
BEGIN
    SELECT RAISE(ABORT, 'holds are never replaced');
END;
