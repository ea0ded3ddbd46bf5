-- The control database: what was asked for, what was made for it, and who may act on it now.
-- Hosts are many from the first day. Times come from this database's clock. Secrets are sealed by
-- the application (AES-256-GCM, key id in front) and are text here.

create table installation (
  singleton boolean primary key default true check (singleton),
  slug text not null,
  created_at timestamptz not null default now()
);

create table teams (
  id uuid primary key,
  name text not null unique check (name ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'),
  -- last number given to an event of this team; raised in the event's own transaction, hence gapless
  event_seq bigint not null default 0,
  created_at timestamptz not null default now()
);

create table projects (
  id uuid primary key,
  team_id uuid not null references teams,
  name text not null check (name ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'),
  created_at timestamptz not null default now(),
  unique (team_id, name)
);

create table hosts (
  -- from the marker volume on the engine, never from an address
  id uuid primary key,
  name text not null unique,
  engine text not null,
  private_address inet not null,
  public_address text not null,
  state text not null default 'active' check (state in ('active', 'draining', 'lost')),
  created_at timestamptz not null default now()
);

create table project_networks (
  project_id uuid not null references projects,
  host_id uuid not null references hosts,
  subnet cidr not null,
  primary key (project_id, host_id),
  unique (host_id, subnet)
);

create table databases (
  id uuid primary key,
  project_id uuid not null references projects,
  name text not null check (name ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'),
  -- the database inside PostgreSQL, and the role that owns it
  -- (names that PostgreSQL, PgBouncer, pg_hba.conf or we ourselves give a meaning are not for customers)
  database_name text not null check (
    database_name ~ '^[a-z][a-z0-9_]{0,40}$'
    and database_name !~ '^(pg_|holdfast)'
    and database_name not in ('postgres', 'template0', 'template1', 'pgbouncer', 'all', 'sameuser', 'samerole', 'samegroup', 'replication')
  ),
  tier text not null check (tier in ('starter', 'standard', 'pro')),
  topology text not null default 'standalone' check (topology in ('standalone', 'ha')),
  storage_bytes bigint not null check (storage_bytes >= 320 * 1024 * 1024),
  allow_list cidr[] not null default '{0.0.0.0/0,::/0}',
  paused boolean not null default false,
  -- image references pinned for this database: {"postgres": "...", "haproxy": "..."}
  images jsonb not null,
  -- names that certificates carry beside the endpoint's own, while an endpoint is being taken over
  extra_certificate_names text[] not null default '{}',
  generation bigint not null default 1,
  observed_generation bigint not null default 0,
  conditions jsonb not null default '[]',
  created_at timestamptz not null default now(),
  deletion_requested_at timestamptz,
  final_backup boolean not null default true,
  backups_kept_until timestamptz,
  finalizers text[] not null default '{finalBackup,containers,volumes,backups}',
  -- everything but the backups is gone: the name is free again
  removed_at timestamptz,
  check (observed_generation <= generation),
  check (removed_at is null or deletion_requested_at is not null)
);
create unique index databases_name on databases (project_id, name) where removed_at is null;
create index databases_project on databases (project_id, created_at desc, id desc);

create table instances (
  id uuid primary key,
  database_id uuid not null references databases on delete cascade,
  kind text not null check (kind in ('standalone', 'cluster')),
  role text not null check (role in ('serving', 'restoring', 'rollbackTarget', 'retired')),
  -- null until the data directory was seen initialised; from then on an empty volume is data loss, not a beginning
  initialised_at timestamptz,
  system_identifier text,
  -- the backups of this lineage: prefix in the bucket and cipher of the repository
  repository_path text not null unique,
  repository_cipher text not null,
  created_at timestamptz not null default now(),
  check ((initialised_at is null) = (system_identifier is null))
);
create unique index instances_one_serving on instances (database_id) where role = 'serving';
create index instances_database on instances (database_id);

-- every port we publish on a host, given out here and nowhere else; what publishes one refers to it,
-- so a port cannot be given away while it is in use
create table ports (
  host_id uuid not null references hosts,
  port integer not null check (port between 1024 and 65535),
  -- the member or endpoint it was reserved for
  owner_id uuid not null,
  purpose text not null,
  primary key (host_id, port)
);
create index ports_owner on ports (owner_id);

create table members (
  id uuid primary key,
  instance_id uuid not null references instances on delete cascade,
  host_id uuid not null references hosts,
  ordinal smallint not null check (ordinal between 1 and 9),
  postgres_port integer not null,
  backup_port integer not null,
  -- size of its data volume as last made or grown; null before it was made
  volume_bytes bigint check (volume_bytes > 0),
  -- what it was last seen to be, for the API: role, container, timeline, lag
  status jsonb not null default '{}',
  created_at timestamptz not null default now(),
  unique (instance_id, ordinal),
  unique (host_id, postgres_port),
  unique (host_id, backup_port),
  constraint members_postgres_port foreign key (host_id, postgres_port) references ports,
  constraint members_backup_port foreign key (host_id, backup_port) references ports
);

create table endpoints (
  id uuid primary key,
  database_id uuid not null references databases on delete cascade,
  host_name text not null,
  created_at timestamptz not null default now(),
  -- deferrable: taking over an endpoint swaps two rows in one transaction
  constraint endpoints_database unique (database_id) deferrable initially immediate
);

create table endpoint_proxies (
  endpoint_id uuid not null references endpoints on delete cascade,
  slot smallint not null check (slot in (0, 1)),
  host_id uuid not null references hosts,
  rw_port integer not null,
  ro_port integer not null,
  pooled_port integer not null,
  runtime_port integer not null,
  primary key (endpoint_id, slot),
  unique (host_id, rw_port),
  unique (host_id, ro_port),
  unique (host_id, pooled_port),
  unique (host_id, runtime_port),
  constraint endpoint_proxies_rw_port foreign key (host_id, rw_port) references ports,
  constraint endpoint_proxies_ro_port foreign key (host_id, ro_port) references ports,
  constraint endpoint_proxies_pooled_port foreign key (host_id, pooled_port) references ports,
  constraint endpoint_proxies_runtime_port foreign key (host_id, runtime_port) references ports
);

create table credentials (
  id uuid primary key,
  database_id uuid not null references databases on delete cascade,
  role_name text not null check (role_name ~ '^[a-z][a-z0-9_]{0,50}$'),
  password text not null,
  -- SCRAM-SHA-256 verifier, sealed: PostgreSQL never sees the password in a statement
  verifier text not null,
  created_at timestamptz not null default now(),
  -- the end of an overlap; null while the credential is current
  ends_at timestamptz,
  ended_at timestamptz,
  last_seen_at timestamptz,
  unique (database_id, role_name),
  check (ended_at is null or ends_at is not null)
);
create unique index credentials_one_current on credentials (database_id) where ends_at is null;

create table certificate_authorities (
  id uuid primary key,
  state text not null check (state in ('active', 'trusted')),
  certificate text not null,
  private_key text not null,
  not_after timestamptz not null,
  created_at timestamptz not null default now()
);
create unique index certificate_authorities_one_active on certificate_authorities (state) where state = 'active';

create table certificates (
  purpose text not null check (purpose in ('member', 'agent', 'endpointServer', 'endpointClient')),
  -- the member, instance or endpoint it belongs to
  owner_id uuid not null,
  database_id uuid not null references databases on delete cascade,
  certificate text not null,
  private_key text not null,
  common_name text not null,
  names text[] not null,
  not_before timestamptz not null,
  not_after timestamptz not null,
  authority_id uuid not null references certificate_authorities,
  issued_at timestamptz not null default now(),
  primary key (purpose, owner_id)
);
create index certificates_database on certificates (database_id);

create table operations (
  id uuid primary key,
  database_id uuid not null references databases on delete cascade,
  kind text not null check (kind in ('restore', 'takeOverEndpoint')),
  machine_version integer not null default 1,
  phase text not null,
  -- what the machine was asked for, and what it noted on its way
  input jsonb not null default '{}',
  notes jsonb not null default '{}',
  waiting_for text,
  progress jsonb,
  requested_by text not null,
  created_at timestamptz not null default now(),
  phase_entered_at timestamptz not null default now(),
  progressed_at timestamptz not null default now(),
  finished_at timestamptz,
  outcome text check (outcome in ('succeeded', 'failed', 'cancelled')),
  failure jsonb,
  check ((finished_at is null) = (outcome is null))
);
create unique index operations_one_unfinished on operations (database_id) where finished_at is null;
create index operations_database on operations (database_id, created_at desc);

create table events (
  team_id uuid not null references teams,
  seq bigint not null check (seq > 0),
  -- taken while the team's counter is held: later events never carry an earlier time
  at timestamptz not null default clock_timestamp(),
  database_id uuid,
  operation_id uuid,
  severity text not null check (severity in ('info', 'warning', 'error')),
  reason text not null,
  message text not null,
  facts jsonb not null default '{}',
  primary key (team_id, seq)
);
create index events_database on events (database_id, seq);

create table backups (
  id uuid primary key,
  -- no cascade: a backup outlives the instance's containers and ends only when it is purged
  database_id uuid not null references databases,
  instance_id uuid not null references instances,
  kind text not null check (kind in ('full', 'incremental')),
  trigger text not null check (trigger in ('initial', 'scheduled', 'manual', 'final')),
  state text not null default 'requested' check (state in ('requested', 'running', 'verifying', 'verified', 'failed', 'expired')),
  attempt integer not null default 1 check (attempt > 0),
  -- pgBackRest's name of the set
  label text,
  requested_at timestamptz not null default now(),
  started_at timestamptz,
  finished_at timestamptz,
  -- read back from the store: only then is it a backup
  verified_at timestamptz,
  start_lsn text,
  stop_lsn text,
  -- what the cluster weighed, and what the set weighs in the store, in bytes
  database_bytes bigint,
  repository_bytes bigint,
  object_count integer,
  failure jsonb,
  check (state <> 'verified' or (label is not null and verified_at is not null and repository_bytes is not null))
);
create index backups_instance on backups (instance_id, requested_at desc);
create index backups_database on backups (database_id, requested_at desc);
create unique index backups_one_open on backups (instance_id) where state in ('requested', 'running', 'verifying');

-- the queue of the loop. claim raises lease_epoch (the fencing token); wake raises wake_seq, so that no wake is lost
create table work_items (
  database_id uuid primary key references databases on delete cascade,
  due_at timestamptz not null default now(),
  wake_seq bigint not null default 1,
  settled_seq bigint not null default 0,
  attempts integer not null default 0,
  lease_holder text,
  lease_epoch bigint not null default 0,
  lease_until timestamptz,
  last_error jsonb,
  last_pass_at timestamptz,
  check ((lease_holder is null) = (lease_until is null)),
  check (settled_seq <= wake_seq)
);
create index work_items_due on work_items (due_at);

-- duties that one controller at a time performs
create table duties (
  name text primary key,
  holder text,
  epoch bigint not null default 0,
  lease_until timestamptz,
  last_run_at timestamptz,
  last_error jsonb
);

create table control_backups (
  id uuid primary key,
  object_key text not null unique,
  bytes bigint not null,
  taken_at timestamptz not null default now(),
  verified_at timestamptz
);

create table api_tokens (
  id uuid primary key,
  -- null: a token of the platform itself, for every team
  team_id uuid references teams,
  name text not null,
  role text not null check (role in ('admin', 'member')),
  -- SHA-256 of the token; the token itself is shown once and kept nowhere
  hash bytea not null unique,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  revoked_at timestamptz,
  last_used_at timestamptz
);

create table audit_log (
  id bigint generated always as identity primary key,
  at timestamptz not null default now(),
  token_id uuid references api_tokens,
  team_id uuid,
  action text not null,
  target text,
  request_id text not null,
  facts jsonb not null default '{}'
);
create index audit_log_team on audit_log (team_id, id);

-- A change of a database's or an endpoint's row tells every controller at once.
create function notify_wake() returns trigger language plpgsql as $$
begin
  perform pg_notify('holdfast_wake', new.database_id::text);
  return null;
end $$;
create trigger work_items_wake after insert or update of wake_seq on work_items
  for each row execute function notify_wake();
