-- While a rebuild fills them nobody reads them and hardly a row changes: a vacuum would read all of it again and again. `{schema}` is g and a number.
alter table {schema}.patient set (autovacuum_enabled = false);
alter table {schema}.case_path set (autovacuum_enabled = false);
alter table {schema}.contact set (autovacuum_enabled = false);
alter table {schema}.claim set (autovacuum_enabled = false);
alter table {schema}.finding set (autovacuum_enabled = false);
