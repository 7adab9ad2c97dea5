-- What a rebuild adds last. `{schema}` is g and a number.
alter table {schema}.timeline add primary key (tenant, patient, subject, source, id);
create index case_by_level on {schema}.case_path (tenant, level, first_sign, patient, case_id);
create index case_open_by_level on {schema}.case_path (tenant, level, first_sign, patient, case_id) where state = 'open';
create index case_open on {schema}.case_path (tenant, first_sign, patient, case_id) where state = 'open';
create index case_open_in on {schema}.case_path (tenant, department, level, first_sign) where state = 'open';
create index case_by_topic on {schema}.case_path (tenant, topic, first_sign);
create index contact_by_topic on {schema}.contact (tenant, topic, at);
create index claim_open on {schema}.claim (tenant, ladder, t0, patient, claim_id) where not is_over;
create index claim_due on {schema}.claim (tenant, due_at) where not is_over;
create index finding_by_case on {schema}.finding (tenant, patient, case_id);
create index finding_open_since on {schema}.finding (tenant, opened_at) where is_open;
create index case_by_id on {schema}.case_path (tenant, case_id);
create index claim_by_ladder on {schema}.claim (tenant, ladder desc, due_at);
create index claim_by_id on {schema}.claim (tenant, claim_id);
