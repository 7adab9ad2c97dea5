-- By what rows are written and persons read back: the patient first, of whom there are many, and sorting looks no further. `{schema}` is g
-- and a number.
-- The longest first, so that others are built beside it to its end.
create index if not exists timeline_by_patient on {schema}.timeline (patient, tenant);
create unique index if not exists patient_key on {schema}.patient (tenant, patient);
create index if not exists patient_due on {schema}.patient (partition, next_due_at) where next_due_at is not null;
create index if not exists patient_set_aside on {schema}.patient (tenant) where is_quarantined;
create unique index if not exists case_key on {schema}.case_path (patient, tenant, case_id);
create unique index if not exists contact_key on {schema}.contact (patient, tenant, contact_id);
create unique index if not exists claim_key on {schema}.claim (patient, tenant, claim_id);
create index if not exists finding_by_case on {schema}.finding (patient, tenant, case_id);
