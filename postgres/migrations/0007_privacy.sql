-- Which token in the log is which person. Text compares byte by byte. A row that
-- was cut has no person any more, and stays so that its token is never given
-- away again.
CREATE TABLE evident.pseudonyms (
    token      uuid        PRIMARY KEY,
    tenant_id  text COLLATE "C" NOT NULL,
    person     text COLLATE "C",
    created_at timestamptz NOT NULL,
    cut_at     timestamptz,
    reason     text COLLATE "C" NOT NULL DEFAULT '',
    CONSTRAINT pseudonyms_without_a_person_are_cut CHECK ((person IS NULL) = (cut_at IS NOT NULL))
);

CREATE UNIQUE INDEX pseudonyms_by_person ON evident.pseudonyms (tenant_id, person) WHERE person IS NOT NULL;

CREATE TRIGGER pseudonyms_are_not_deleted BEFORE DELETE OR TRUNCATE ON evident.pseudonyms
    FOR EACH STATEMENT EXECUTE FUNCTION evident.refuse_change();

-- All that can happen to a row is that it is cut.
CREATE FUNCTION evident.refuse_but_cut() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.%: a pseudonym is never changed, only cut', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER pseudonyms_are_only_cut BEFORE UPDATE ON evident.pseudonyms FOR EACH ROW
    WHEN (OLD.person IS NULL OR NEW.person IS NOT NULL
       OR (NEW.token, NEW.tenant_id, NEW.created_at) IS DISTINCT FROM (OLD.token, OLD.tenant_id, OLD.created_at))
    EXECUTE FUNCTION evident.refuse_but_cut();

-- Legal holds, in the order of placing. One is on a person, whose token it has,
-- on an entity, or, if it has neither, on the whole tenant.
CREATE TABLE evident.legal_holds (
    place          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             uuid        NOT NULL,
    tenant_id      text COLLATE "C" NOT NULL,
    person         uuid,
    entity_type    text COLLATE "C" NOT NULL,
    entity_id      text COLLATE "C" NOT NULL,
    reason         text COLLATE "C" NOT NULL,
    placed_by      text COLLATE "C" NOT NULL,
    placed_at      timestamptz NOT NULL,
    released_at    timestamptz,
    released_by    text COLLATE "C" NOT NULL DEFAULT '',
    release_reason text COLLATE "C" NOT NULL DEFAULT ''
);

CREATE UNIQUE INDEX legal_holds_by_id ON evident.legal_holds (id);
CREATE INDEX legal_holds_that_hold ON evident.legal_holds (tenant_id) WHERE released_at IS NULL;

CREATE TRIGGER legal_holds_are_not_deleted BEFORE DELETE OR TRUNCATE ON evident.legal_holds
    FOR EACH STATEMENT EXECUTE FUNCTION evident.refuse_change();

-- All that can happen to a hold is that it is released.
CREATE FUNCTION evident.refuse_but_release() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%.%: a hold is never changed, only released', TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE TRIGGER legal_holds_are_only_released BEFORE UPDATE ON evident.legal_holds FOR EACH ROW
    WHEN (OLD.released_at IS NOT NULL OR NEW.released_at IS NULL
       OR (NEW.place, NEW.id, NEW.tenant_id, NEW.person, NEW.entity_type, NEW.entity_id, NEW.reason, NEW.placed_by, NEW.placed_at)
       IS DISTINCT FROM
          (OLD.place, OLD.id, OLD.tenant_id, OLD.person, OLD.entity_type, OLD.entity_id, OLD.reason, OLD.placed_by, OLD.placed_at))
    EXECUTE FUNCTION evident.refuse_but_release();

-- The wall between tenants, as before, and around these two tables as well.
CREATE OR REPLACE FUNCTION evident.row_security(wanted boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    walled regclass;
    is_up  boolean;
BEGIN
    FOR walled, is_up IN
        SELECT c.oid, c.relrowsecurity
          FROM unnest(ARRAY['evident.events', 'evident.snapshots', 'evident.audit_log', 'evident.user_activity',
                            'evident.pseudonyms', 'evident.legal_holds']) AS t(name)
          JOIN pg_class AS c ON c.oid = t.name::regclass
         WHERE c.relrowsecurity <> wanted
    LOOP
        IF is_up THEN
            EXECUTE format('ALTER TABLE %s DISABLE ROW LEVEL SECURITY', walled);
            CONTINUE;
        END IF;
        EXECUTE format('DROP POLICY IF EXISTS tenant ON %s', walled);
        EXECUTE format('DROP POLICY IF EXISTS all_tenants ON %s', walled);
        EXECUTE format($policy$ CREATE POLICY tenant ON %s
            USING (tenant_id = (SELECT current_setting('evident.tenant', true)) AND tenant_id <> '') $policy$, walled);
        EXECUTE format($policy$ CREATE POLICY all_tenants ON %s
            USING ((SELECT coalesce(current_setting('evident.tenant', true), '') = '')
               AND (SELECT has_table_privilege('evident.all_tenants'::regclass, 'SELECT'))) $policy$, walled);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', walled);
    END LOOP;
END $$;

-- Functions are for everybody unless somebody says otherwise.
DO $$
BEGIN
    EXECUTE format('REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA %s FROM PUBLIC',
                   (SELECT relnamespace::regnamespace FROM pg_class WHERE oid = 'evident.events'::regclass));
END $$;
