-- What a rebuild adds last. `{schema}` is g and a number.
create index if not exists case_by_age on {schema}.case_path (tenant, first_sign, patient, case_id);
create index if not exists case_open_in on {schema}.case_path (tenant, department, first_sign, patient, case_id) where state = 'open';
create index if not exists case_open on {schema}.case_path (tenant, first_sign, patient, case_id) where state = 'open';
-- Few cases have a level, and those that have none are walked by age.
create index if not exists case_by_level on {schema}.case_path (tenant, level, first_sign, patient, case_id) where level is not null;
create index if not exists case_open_by_level on {schema}.case_path (tenant, level, first_sign, patient, case_id) where state = 'open' and level is not null;
create index if not exists case_open_by_level_in on {schema}.case_path (tenant, department, level, first_sign, patient, case_id) where state = 'open' and level is not null;
create index if not exists case_by_topic on {schema}.case_path (tenant, topic, first_sign);
create index if not exists contact_by_topic on {schema}.contact (tenant, topic, at);
create index if not exists claim_open on {schema}.claim (tenant, ladder, t0, patient, claim_id) where not is_over;
create index if not exists claim_due on {schema}.claim (tenant, due_at) where not is_over;
create index if not exists finding_open on {schema}.finding (tenant, kind, level) where is_open;
create index if not exists finding_open_since on {schema}.finding (tenant, opened_at) where is_open;
create index if not exists case_by_id on {schema}.case_path (case_id, tenant, patient);
create index if not exists claim_by_ladder on {schema}.claim (tenant, ladder desc, due_at);
create index if not exists claim_by_id on {schema}.claim (claim_id, tenant, patient);
