-- The facts of one partition of the log, in a table of their own that a rebuild makes in the transaction that fills it: they are written
-- once, not to the WAL as well where that is minimal, and are old enough at once for no vacuum to come by. `{schema}` is g and a number,
-- `{partition}` a number. It is asked by its patients alone: a small sample tells enough of it.
create table {schema}.timeline_{partition} (like {schema}.timeline including defaults, constraint own check (partition = {partition}));
alter table {schema}.timeline_{partition}
    alter column tenant set statistics 10, alter column patient set statistics 10, alter column subject set statistics 10,
    alter column source set statistics 10, alter column id set statistics 10, alter column type set statistics 10,
    alter column occurred_at set statistics 10, alter column recorded_at set statistics 10, alter column partition set statistics 10,
    alter column is_known set statistics 10, alter column is_conflicting set statistics 10, alter column raw set statistics 0;
