-- The timeline's one index. `{schema}` is g and a number.
create index if not exists timeline_by_patient on {schema}.timeline (tenant, patient);
