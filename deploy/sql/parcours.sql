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

-- A generation of the read tables lives in its own schema (g1, g2, ...); readers use the views of the active one.
create table if not exists parcours.generation (
    id integer primary key,
    fold_version text not null,
    policy jsonb not null,
    state text not null check (state in ('building', 'active', 'old')),
    created_at timestamptz not null default now()
);
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
