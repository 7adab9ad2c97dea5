-- What is not a fact: tokens, what was said, deliveries, generations. Everything else can be rebuilt from the log.
create schema if not exists parcours;

create table if not exists parcours.setting (
    name text primary key,
    value jsonb not null
);

create table if not exists parcours.token (
    id text primary key,
    tenant text not null,
    role text not null check (role in ('emitter', 'reader', 'operator', 'admin')),
    hash bytea not null unique,
    label text not null default '',
    created_at timestamptz not null default now(),
    revoked_at timestamptz
);

alter table parcours.token add column if not exists departments text[];

-- A generation of the read tables lives in its own schema (g1, g2, ...); readers use the views of the active one.
create table if not exists parcours.generation (
    id integer primary key,
    fold_version text not null,
    policy jsonb not null,
    state text not null check (state in ('building', 'active', 'old')),
    created_at timestamptz not null default now()
);
alter table parcours.generation add column if not exists is_aside boolean not null default false;
create unique index if not exists one_active_generation on parcours.generation ((true)) where state = 'active';

-- What was said of a finding belongs to no generation, and never disappears.
create table if not exists parcours.announced (
    tenant text not null,
    finding text not null,
    patient text not null,
    n integer not null,
    level text,
    is_raised boolean not null,
    said_at timestamptz not null,
    primary key (tenant, finding)
);
create index if not exists announced_by_patient on parcours.announced (tenant, patient);

alter table parcours.announced add column if not exists raised_at timestamptz;
alter table parcours.announced add column if not exists cause text;

create index if not exists announced_by_time on parcours.announced (tenant, said_at desc, finding);
create index if not exists announced_raised on parcours.announced (tenant, said_at desc, finding) where is_raised;

-- How many alerts a tenant has had: each has its number, without a gap, given as it is written.
create table if not exists parcours.alert_number (
    tenant text primary key,
    last bigint not null
);

create table if not exists parcours.outbox (
    id bigint generated always as identity primary key,
    partition integer not null,
    tenant text not null,
    patient text not null,
    key text not null,
    value bytea not null,
    created_at timestamptz not null default now(),
    sent_at timestamptz
);
create index if not exists outbox_unsent on parcours.outbox (partition, id) where sent_at is null;

alter table parcours.outbox add column if not exists finding text;
alter table parcours.outbox add column if not exists act text;
alter table parcours.outbox add column if not exists number bigint;
alter table parcours.outbox add column if not exists routed_at timestamptz;
create unique index if not exists outbox_by_number on parcours.outbox (tenant, number);
create index if not exists outbox_unrouted on parcours.outbox (id) where routed_at is null;
create index if not exists outbox_by_finding on parcours.outbox (tenant, finding, id);

-- Who is told, by which way, of what. A webhook's secrets stand here in clear: it signs with them.
create table if not exists parcours.subscription (
    id text primary key,
    tenant text not null,
    kind text not null check (kind in ('kafka', 'webhook', 'sse', 'email', 'apprise')),
    target text not null,
    role text not null default 'team',
    language text not null default 'fr' check (language in ('en', 'fr')),
    filters jsonb not null default '{}',
    hours jsonb,
    digest text,
    secrets text[] not null default '{}',
    state text not null default 'active' check (state in ('active', 'paused', 'disabled')),
    notice text,
    failing_since timestamptz,
    created_at timestamptz not null default now()
);

-- One message to one subscriber, of one alert or of a group; its id is the webhook-id, the same at every attempt.
create table if not exists parcours.message (
    id bigint generated always as identity primary key,
    name text not null unique,
    subscription text not null references parcours.subscription on delete cascade,
    tenant text not null,
    rule text not null,
    group_key text not null,
    severity text not null,
    patients text[] not null,
    why text not null default 'raised',
    state text not null default 'waiting' check (state in ('waiting', 'delivered', 'held', 'failed', 'dropped')),
    not_before timestamptz not null,
    attempts integer not null default 0,
    last_answer text,
    created_at timestamptz not null default now(),
    sent_at timestamptz
);
create index if not exists message_waiting on parcours.message (subscription, id) where state = 'waiting';
create index if not exists message_group on parcours.message (subscription, group_key, id desc);
create index if not exists message_by_time on parcours.message (tenant, created_at);

-- Which alerts a message carries, or why an alert is in none.
create table if not exists parcours.delivery (
    subscription text not null references parcours.subscription on delete cascade,
    outbox bigint not null references parcours.outbox on delete cascade,
    message bigint references parcours.message on delete cascade,
    muted text
);
create unique index if not exists delivery_once on parcours.delivery (subscription, outbox, coalesce(message, 0));
create index if not exists delivery_by_message on parcours.delivery (message);
create index if not exists delivery_by_outbox on parcours.delivery (outbox);

create table if not exists parcours.attempt (
    message bigint not null references parcours.message on delete cascade,
    at timestamptz not null default now(),
    answer text not null,
    seconds real not null
);
create index if not exists attempt_by_message on parcours.attempt (message, at);

-- What was repeated or escalated of an alert, so that it is done once.
create table if not exists parcours.reminder (
    tenant text not null,
    finding text not null,
    n integer not null,
    kind text not null,
    at timestamptz not null default now(),
    primary key (tenant, finding, n, kind)
);

-- One-time ways into the console; only a hash is kept, and each opens once.
create table if not exists parcours.login_link (
    hash bytea primary key,
    name text not null,
    tenant text,
    role text not null check (role in ('reader', 'operator', 'admin')),
    departments text[],
    expires_at timestamptz not null,
    used_at timestamptz
);

-- Who read which patient's file, when, and why.
create table if not exists parcours.access (
    id bigint generated always as identity primary key,
    at timestamptz not null default now(),
    who text not null,
    tenant text not null,
    patient text not null,
    what text not null,
    why text
);
create index if not exists access_by_patient on parcours.access (tenant, patient, at);

-- What people decided about parked records survives a rebuild.
create table if not exists parcours.parked_decision (
    digest bytea primary key,
    decision text not null check (decision in ('discarded')),
    reason text not null,
    decided_at timestamptz not null default now()
);

-- The services' own word that they live and move, for `status` and `doctor`.
create table if not exists parcours.heartbeat (
    service text primary key,
    pid integer not null,
    beat_at timestamptz not null,
    detail jsonb not null
);
