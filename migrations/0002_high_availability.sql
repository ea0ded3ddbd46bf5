-- Clusters of three members, which a team has to opt into. Only adds: every new column has a default or may be null,
-- so the version before goes on working on this schema.

-- the team may ask for clusters; existing clusters do not depend on it
alter table teams add column ha_enabled boolean not null default false;

-- what a commit of a cluster waits for: every healthy replica, or any one of them
alter table databases add column durability text not null default 'strict' check (durability in ('strict', 'quorum'));

-- of a cluster: the password of its user in etcd, sealed. Scope and user follow from the instance's id
alter table instances add column dcs_password text;
alter table instances add constraint instances_dcs_password_check check ((kind = 'cluster') = (dcs_password is not null));

-- of a cluster: the member that was last seen to lead it, and on which timeline; another one is an event
alter table instances add column last_leader jsonb;

-- of a cluster's member: where its Patroni answers on the host's private address
alter table members add column patroni_port integer;
alter table members add constraint members_patroni_port foreign key (host_id, patroni_port) references ports;
alter table members add constraint members_host_id_patroni_port_key unique (host_id, patroni_port);

alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
  check (kind in ('restore', 'takeOverEndpoint', 'switchover', 'restart', 'reinitialise', 'changeTier'));

-- What the failover guard concluded, and from what. It works while this database is away and tells afterwards: the id is
-- the guard's own, so that a verdict told twice is one, and nothing is ever changed but an outcome that was not known yet.
create table failover_verdicts (
  id uuid primary key,
  -- no references: the story outlives the database it is about
  database_id uuid not null,
  instance_id uuid not null,
  -- by the clock of the controller that watched
  at timestamptz not null,
  verdict text not null check (verdict ~ '^[a-z][A-Za-z]{0,59}$'),
  evidence jsonb not null,
  -- what was done about it and what came of it; null while it goes on
  outcome jsonb,
  -- what happened, line by line, for people
  story jsonb not null default '[]',
  controller text not null,
  -- of the event that told it to the team, and of the one that told the outcome
  event_seq bigint,
  outcome_event_seq bigint,
  recorded_at timestamptz not null default now()
);
create index failover_verdicts_database on failover_verdicts (database_id, at desc, id);
create index failover_verdicts_instance on failover_verdicts (instance_id, at);
-- the last one of a database is shown with it
create index events_failed_over on events (database_id, seq) where reason = 'FailedOver';

create table etcd_snapshots (
  id uuid primary key,
  object_key text not null unique,
  bytes bigint not null,
  taken_at timestamptz not null default now(),
  verified_at timestamptz
);
