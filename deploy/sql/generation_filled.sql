-- What generation_filling put off. `{schema}` is g and a number.
alter table {schema}.patient reset (autovacuum_enabled);
alter table {schema}.case_path reset (autovacuum_enabled);
alter table {schema}.contact reset (autovacuum_enabled);
alter table {schema}.claim reset (autovacuum_enabled);
alter table {schema}.finding reset (autovacuum_enabled);
-- Those who read them next are not to guess what is in them until somebody comes by.
analyze {schema}.timeline;
analyze {schema}.case_path;
analyze {schema}.contact;
analyze {schema}.claim;
analyze {schema}.finding;
analyze {schema}.patient;
