-- A head that was written down: for readers that cannot see the locks of
-- writers, such as those on a standby, and for plain SQL:
--
--     SELECT … FROM evident.events WHERE position <= (SELECT position FROM evident.mark)
--
-- A writer gives its lock back after its commit, and the mark is written after
-- the lock was found to be gone. So the mark stands in the log of the database
-- behind every commit that it covers: whoever sees the mark sees those events,
-- on a standby too, and however synchronous_commit is set.
--
-- Its page has room for new versions of the row, so that no update ever touches
-- the index.
CREATE TABLE evident.mark (
    only_row   boolean     PRIMARY KEY DEFAULT true CHECK (only_row),
    position   bigint      NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 10);

INSERT INTO evident.mark DEFAULT VALUES;

-- Moves the mark to the head, if nobody has done so within a tenth of a second,
-- and returns where it stands. Any number of keepers may call it: the row elects
-- one, and the others do not wait for it. It runs with the rights of the schema's
-- owner, so nobody who may call it can put the mark anywhere else. A clock that
-- was put back does not stop it.
CREATE FUNCTION evident.keep_mark() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    stable bigint;
    stands bigint;
BEGIN
    SELECT head INTO stable FROM evident.head();
    PERFORM FROM evident.mark
      WHERE position < stable AND updated_at NOT BETWEEN clock_timestamp() - interval '100 milliseconds' AND clock_timestamp()
        FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE evident.mark SET position = stable, updated_at = clock_timestamp();
    END IF;
    SELECT position INTO stands FROM evident.mark;
    RETURN stands;
END $$;

-- The head is that of all tenants, whoever asks for it.
ALTER FUNCTION evident.head() SECURITY DEFINER;
ALTER FUNCTION evident.head() SET search_path = pg_catalog, pg_temp;

-- Whoever has SELECT on this table sees the rows of all tenants, as long as no
-- tenant is set. Nothing is ever in it.
CREATE TABLE evident.all_tenants ();

-- Puts up the wall between tenants, or takes it down. It may be called again,
-- and has to be when a table was added.
--
-- A row is seen, and can be stored, in a transaction whose setting evident.tenant
-- is its tenant. Where there is no such setting, and for rows of no tenant, one
-- must be allowed to see all tenants. What is in brackets of its own is worked
-- out once for a statement, not for each row. The owner of the tables,
-- superusers and roles with BYPASSRLS pass through, and the owner has to: the
-- head is worked out in his name.
CREATE FUNCTION evident.row_security(wanted boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    walled regclass;
    is_up  boolean;
BEGIN
    FOR walled, is_up IN
        SELECT c.oid, c.relrowsecurity
          FROM unnest(ARRAY['evident.events', 'evident.snapshots', 'evident.audit_log', 'evident.user_activity']) AS t(name)
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
