-- One generation of the read tables. `{schema}` is g and a number, made by us, never by a user. The keys of what a rebuild writes most
-- rows of come with generation_keys: row by row they would cost more than all at once.
create schema {schema};

-- Every fact, by person: what people read, and what a file is folded from when it is not in memory. That each is there once is the
-- fold's doing, which knows every fact of a person (decision 0010). Each partition of the log has a table of its own
-- (generation_partition); a person's facts are all in one.
create table {schema}.timeline (
    tenant text not null,
    patient text not null,
    subject text not null,
    source text not null,
    id text not null,
    type text not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    partition smallint not null,
    is_known boolean not null,
    is_conflicting boolean not null default false,
    raw bytea not null
) partition by list (partition);

create table {schema}.patient (
    tenant text not null,
    patient text not null,
    partition smallint not null,
    bounced boolean not null,
    cases integer not null,
    claims integer not null,
    facts integer not null,
    next_due_at timestamptz,
    last_sign timestamptz,
    is_quarantined boolean not null default false
) with (fillfactor = 70);

create table {schema}.case_path (
    tenant text not null,
    patient text not null,
    case_id text not null,
    topic text,
    path text[] not null,
    handoffs integer not null,
    hops integer not null,
    distinct_departments integer not null,
    returns integer not null,
    direct_returns integer not null,
    alternation integer not null,
    sterile integer not null,
    carried integer not null,
    level text,
    bounced boolean not null,
    state text not null,
    department text,
    since timestamptz,
    substantive_answer_at timestamptz,
    first_sign timestamptz,
    last_sign timestamptz,
    visits_at timestamptz[] not null,
    visits_planned boolean[] not null,
    visits_sterile boolean[] not null
) with (fillfactor = 70);

-- Contacts received: what small flows are counted from.
create table {schema}.contact (
    tenant text not null,
    patient text not null,
    contact_id text not null,
    at timestamptz not null,
    topic text,
    channel text,
    department text,
    case_id text,
    courtesy boolean not null
);

create table {schema}.claim (
    tenant text not null,
    patient text not null,
    claim_id text not null,
    case_id text,
    jurisdiction text not null,
    t0 timestamptz not null,
    state text not null,
    is_over boolean not null,
    unanswered boolean not null,
    ladder text not null,
    chases integer not null,
    answered_at timestamptz,
    due_at timestamptz,
    answered_late boolean,
    department text,
    clocks jsonb not null
) with (fillfactor = 70);

create table {schema}.finding (
    tenant text not null,
    id text not null,
    kind text not null,
    patient text not null,
    case_id text,
    claim_id text,
    topic text,
    department text,
    level text,
    is_open boolean not null,
    opened_at timestamptz not null,
    shown_at timestamptz not null,
    is_old boolean not null,
    reasons jsonb not null,
    primary key (tenant, id)
);

-- Nobody asks for a row by a fact's bytes, a case's visits, a claim's clocks or a finding's reasons: whoever analyses the tables need not
-- read them.
alter table {schema}.timeline alter column raw set statistics 0;
alter table {schema}.case_path
    alter column visits_at set statistics 0, alter column visits_planned set statistics 0, alter column visits_sterile set statistics 0;
alter table {schema}.claim alter column clocks set statistics 0;
alter table {schema}.finding alter column reasons set statistics 0;

-- What people did with alerts.
create table {schema}.alert_act (
    tenant text not null,
    patient text not null,
    alert text not null,
    fact text not null,
    kind text not null,
    at timestamptz not null,
    by text not null,
    until timestamptz,
    reason text
);
create index alert_act_by_alert on {schema}.alert_act (tenant, alert, at);
create index alert_act_by_patient on {schema}.alert_act (tenant, patient);

create table {schema}.checkpoint (
    topic text not null,
    partition smallint not null,
    next_offset bigint not null,
    watermark timestamptz,
    last_record_hash bytea,
    owner text,
    batch_id uuid,
    moved_at timestamptz not null default now(),
    primary key (topic, partition)
);

create table {schema}.parked (
    partition smallint not null,
    "offset" bigint not null,
    digest bytea not null,
    code text not null,
    field text not null,
    rule text not null,
    tenant text,
    subject text,
    key bytea,
    value bytea,
    headers jsonb not null,
    appended_at timestamptz not null,
    parked_at timestamptz not null default now(),
    retried_at timestamptz,
    is_taken boolean not null default false,
    primary key (partition, "offset")
);
create index parked_by_digest on {schema}.parked (digest);

-- Merges and voids, by the subject they were sent with: together they say who is one person.
create table {schema}.correction (
    tenant text not null,
    subject text not null,
    digest bytea not null,
    is_merge boolean not null,
    raw bytea not null,
    primary key (tenant, subject, digest)
);
create index correction_merges on {schema}.correction (tenant) where is_merge;
create table {schema}.alias (
    tenant text not null,
    subject text not null,
    person text not null,
    primary key (tenant, subject)
);
create index alias_by_person on {schema}.alias (tenant, person);
create table {schema}.merge_cycles (
    tenant text primary key,
    cycles integer not null
);

-- Facts that came through one partition and belong to a person of another: that one's owner takes them.
-- Without a fact, the person has to be regrouped: some of their facts have become somebody else's.
create table {schema}.inbox (
    id bigint generated always as identity primary key,
    partition smallint not null,
    tenant text not null,
    person text not null,
    raw bytea,
    is_conflicting boolean not null default false
);
create index inbox_by_partition on {schema}.inbox (partition, id);

-- An erased person leaves this, so that it stays so; digests let the counts of errors stay exact.
create table {schema}.tombstone (
    tenant text not null,
    subject text not null,
    erased_at timestamptz not null,
    primary key (tenant, subject)
);
create table {schema}.erased_fact (
    tenant text not null,
    subject text not null,
    digest bytea not null,
    recorded_at timestamptz not null,
    content bytea not null,
    unknown_type text,
    is_conflicting boolean not null default false,
    primary key (tenant, digest)
);
create index erased_by_subject on {schema}.erased_fact (tenant, subject);
