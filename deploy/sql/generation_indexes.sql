-- What a rebuild adds last. `{schema}` is g and a number.
alter table {schema}.timeline add primary key (tenant, patient, subject, source, id);
create index case_by_level on {schema}.case_path (tenant, level desc, case_id) where bounced;
create index case_by_id on {schema}.case_path (tenant, case_id);
create index claim_by_ladder on {schema}.claim (tenant, ladder desc, due_at);
create index claim_by_id on {schema}.claim (tenant, claim_id);
