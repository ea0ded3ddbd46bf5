-- The control database after all migrations. Made by `npm run schema`; do not edit.

CREATE FUNCTION public.notify_wake() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  perform pg_notify('holdfast_wake', new.database_id::text);
  return null;
end $$;

CREATE TABLE public.api_tokens (
    id uuid NOT NULL,
    team_id uuid,
    name text NOT NULL,
    role text NOT NULL,
    hash bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    revoked_at timestamp with time zone,
    last_used_at timestamp with time zone,
    CONSTRAINT api_tokens_role_check CHECK ((role = ANY (ARRAY['admin'::text, 'member'::text])))
);

CREATE TABLE public.audit_log (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    token_id uuid,
    team_id uuid,
    action text NOT NULL,
    target text,
    request_id text NOT NULL,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL
);

ALTER TABLE public.audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

CREATE TABLE public.backups (
    id uuid NOT NULL,
    database_id uuid NOT NULL,
    instance_id uuid NOT NULL,
    kind text NOT NULL,
    trigger text NOT NULL,
    state text DEFAULT 'requested'::text NOT NULL,
    attempt integer DEFAULT 1 NOT NULL,
    label text,
    requested_at timestamp with time zone DEFAULT now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    verified_at timestamp with time zone,
    start_lsn text,
    stop_lsn text,
    database_bytes bigint,
    repository_bytes bigint,
    object_count integer,
    failure jsonb,
    CONSTRAINT backups_attempt_check CHECK ((attempt > 0)),
    CONSTRAINT backups_check CHECK (((state <> 'verified'::text) OR ((label IS NOT NULL) AND (verified_at IS NOT NULL) AND (repository_bytes IS NOT NULL)))),
    CONSTRAINT backups_kind_check CHECK ((kind = ANY (ARRAY['full'::text, 'incremental'::text]))),
    CONSTRAINT backups_state_check CHECK ((state = ANY (ARRAY['requested'::text, 'running'::text, 'verifying'::text, 'verified'::text, 'failed'::text, 'expired'::text]))),
    CONSTRAINT backups_trigger_check CHECK ((trigger = ANY (ARRAY['initial'::text, 'scheduled'::text, 'manual'::text, 'final'::text])))
);

CREATE TABLE public.certificate_authorities (
    id uuid NOT NULL,
    state text NOT NULL,
    certificate text NOT NULL,
    private_key text NOT NULL,
    not_after timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT certificate_authorities_state_check CHECK ((state = ANY (ARRAY['active'::text, 'trusted'::text])))
);

CREATE TABLE public.certificates (
    purpose text NOT NULL,
    owner_id uuid NOT NULL,
    database_id uuid NOT NULL,
    certificate text NOT NULL,
    private_key text NOT NULL,
    common_name text NOT NULL,
    names text[] NOT NULL,
    not_before timestamp with time zone NOT NULL,
    not_after timestamp with time zone NOT NULL,
    authority_id uuid NOT NULL,
    issued_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT certificates_purpose_check CHECK ((purpose = ANY (ARRAY['member'::text, 'agent'::text, 'endpointServer'::text, 'endpointClient'::text])))
);

CREATE TABLE public.control_backups (
    id uuid NOT NULL,
    object_key text NOT NULL,
    bytes bigint NOT NULL,
    taken_at timestamp with time zone DEFAULT now() NOT NULL,
    verified_at timestamp with time zone
);

CREATE TABLE public.credentials (
    id uuid NOT NULL,
    database_id uuid NOT NULL,
    role_name text NOT NULL,
    password text NOT NULL,
    verifier text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ends_at timestamp with time zone,
    ended_at timestamp with time zone,
    last_seen_at timestamp with time zone,
    CONSTRAINT credentials_check CHECK (((ended_at IS NULL) OR (ends_at IS NOT NULL))),
    CONSTRAINT credentials_role_name_check CHECK ((role_name ~ '^[a-z][a-z0-9_]{0,50}$'::text))
);

CREATE TABLE public.databases (
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    name text NOT NULL,
    database_name text NOT NULL,
    tier text NOT NULL,
    topology text DEFAULT 'standalone'::text NOT NULL,
    storage_bytes bigint NOT NULL,
    allow_list cidr[] DEFAULT '{0.0.0.0/0,::/0}'::cidr[] NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    images jsonb NOT NULL,
    extra_certificate_names text[] DEFAULT '{}'::text[] NOT NULL,
    generation bigint DEFAULT 1 NOT NULL,
    observed_generation bigint DEFAULT 0 NOT NULL,
    conditions jsonb DEFAULT '[]'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    deletion_requested_at timestamp with time zone,
    final_backup boolean DEFAULT true NOT NULL,
    backups_kept_until timestamp with time zone,
    finalizers text[] DEFAULT '{finalBackup,containers,volumes,backups}'::text[] NOT NULL,
    removed_at timestamp with time zone,
    durability text DEFAULT 'strict'::text NOT NULL,
    rehearsal_of uuid,
    CONSTRAINT databases_check CHECK ((observed_generation <= generation)),
    CONSTRAINT databases_check1 CHECK (((removed_at IS NULL) OR (deletion_requested_at IS NOT NULL))),
    CONSTRAINT databases_database_name_check CHECK (((database_name ~ '^[a-z][a-z0-9_]{0,40}$'::text) AND (database_name !~ '^(pg_|holdfast)'::text) AND (database_name <> ALL (ARRAY['postgres'::text, 'template0'::text, 'template1'::text, 'pgbouncer'::text, 'all'::text, 'sameuser'::text, 'samerole'::text, 'samegroup'::text, 'replication'::text])))),
    CONSTRAINT databases_durability_check CHECK ((durability = ANY (ARRAY['strict'::text, 'quorum'::text]))),
    CONSTRAINT databases_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'::text)),
    CONSTRAINT databases_storage_bytes_check CHECK ((storage_bytes >= ((320 * 1024) * 1024))),
    CONSTRAINT databases_tier_check CHECK ((tier = ANY (ARRAY['starter'::text, 'standard'::text, 'pro'::text]))),
    CONSTRAINT databases_topology_check CHECK ((topology = ANY (ARRAY['standalone'::text, 'ha'::text])))
);

CREATE TABLE public.duties (
    name text NOT NULL,
    holder text,
    epoch bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    last_run_at timestamp with time zone,
    last_error jsonb
);

CREATE TABLE public.endpoint_proxies (
    endpoint_id uuid NOT NULL,
    slot smallint NOT NULL,
    host_id uuid NOT NULL,
    rw_port integer NOT NULL,
    ro_port integer NOT NULL,
    pooled_port integer NOT NULL,
    runtime_port integer NOT NULL,
    CONSTRAINT endpoint_proxies_slot_check CHECK ((slot = ANY (ARRAY[0, 1])))
);

CREATE TABLE public.endpoints (
    id uuid NOT NULL,
    database_id uuid NOT NULL,
    host_name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

CREATE TABLE public.etcd_snapshots (
    id uuid NOT NULL,
    object_key text NOT NULL,
    bytes bigint NOT NULL,
    taken_at timestamp with time zone DEFAULT now() NOT NULL,
    verified_at timestamp with time zone
);

CREATE TABLE public.events (
    team_id uuid NOT NULL,
    seq bigint NOT NULL,
    at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    database_id uuid,
    operation_id uuid,
    severity text NOT NULL,
    reason text NOT NULL,
    message text NOT NULL,
    facts jsonb DEFAULT '{}'::jsonb NOT NULL,
    CONSTRAINT events_seq_check CHECK ((seq > 0)),
    CONSTRAINT events_severity_check CHECK ((severity = ANY (ARRAY['info'::text, 'warning'::text, 'error'::text])))
);

CREATE TABLE public.failover_verdicts (
    id uuid NOT NULL,
    database_id uuid NOT NULL,
    instance_id uuid NOT NULL,
    at timestamp with time zone NOT NULL,
    verdict text NOT NULL,
    evidence jsonb NOT NULL,
    outcome jsonb,
    story jsonb DEFAULT '[]'::jsonb NOT NULL,
    controller text NOT NULL,
    event_seq bigint,
    outcome_event_seq bigint,
    recorded_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT failover_verdicts_verdict_check CHECK ((verdict ~ '^[a-z][A-Za-z]{0,59}$'::text))
);

CREATE TABLE public.hosts (
    id uuid NOT NULL,
    name text NOT NULL,
    engine text NOT NULL,
    private_address inet NOT NULL,
    public_address text NOT NULL,
    state text DEFAULT 'active'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT hosts_state_check CHECK ((state = ANY (ARRAY['active'::text, 'draining'::text, 'lost'::text])))
);

CREATE TABLE public.installation (
    singleton boolean DEFAULT true NOT NULL,
    slug text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT installation_singleton_check CHECK (singleton)
);

CREATE TABLE public.instances (
    id uuid NOT NULL,
    database_id uuid NOT NULL,
    kind text NOT NULL,
    role text NOT NULL,
    initialised_at timestamp with time zone,
    system_identifier text,
    repository_path text NOT NULL,
    repository_cipher text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    dcs_password text,
    last_leader jsonb,
    kept_until timestamp with time zone,
    CONSTRAINT instances_check CHECK (((initialised_at IS NULL) = (system_identifier IS NULL))),
    CONSTRAINT instances_dcs_password_check CHECK (((kind = 'cluster'::text) = (dcs_password IS NOT NULL))),
    CONSTRAINT instances_kind_check CHECK ((kind = ANY (ARRAY['standalone'::text, 'cluster'::text]))),
    CONSTRAINT instances_role_check CHECK ((role = ANY (ARRAY['serving'::text, 'restoring'::text, 'preparing'::text, 'rollbackTarget'::text, 'retired'::text])))
);

CREATE TABLE public.members (
    id uuid NOT NULL,
    instance_id uuid NOT NULL,
    host_id uuid NOT NULL,
    ordinal smallint NOT NULL,
    postgres_port integer NOT NULL,
    backup_port integer NOT NULL,
    volume_bytes bigint,
    status jsonb DEFAULT '{}'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    patroni_port integer,
    CONSTRAINT members_ordinal_check CHECK (((ordinal >= 1) AND (ordinal <= 9))),
    CONSTRAINT members_volume_bytes_check CHECK ((volume_bytes > 0))
);

CREATE TABLE public.operations (
    id uuid NOT NULL,
    database_id uuid NOT NULL,
    kind text NOT NULL,
    machine_version integer DEFAULT 1 NOT NULL,
    phase text NOT NULL,
    input jsonb DEFAULT '{}'::jsonb NOT NULL,
    notes jsonb DEFAULT '{}'::jsonb NOT NULL,
    waiting_for text,
    progress jsonb,
    requested_by text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    phase_entered_at timestamp with time zone DEFAULT now() NOT NULL,
    progressed_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    outcome text,
    failure jsonb,
    CONSTRAINT operations_check CHECK (((finished_at IS NULL) = (outcome IS NULL))),
    CONSTRAINT operations_kind_check CHECK ((kind = ANY (ARRAY['restore'::text, 'takeOverEndpoint'::text, 'switchover'::text, 'restart'::text, 'reinitialise'::text, 'changeTier'::text, 'upgradeToHa'::text, 'rollback'::text, 'downgrade'::text, 'rehearseUpgrade'::text]))),
    CONSTRAINT operations_outcome_check CHECK ((outcome = ANY (ARRAY['succeeded'::text, 'failed'::text, 'cancelled'::text])))
);

CREATE TABLE public.ports (
    host_id uuid NOT NULL,
    port integer NOT NULL,
    owner_id uuid NOT NULL,
    purpose text NOT NULL,
    CONSTRAINT ports_port_check CHECK (((port >= 1024) AND (port <= 65535)))
);

CREATE TABLE public.project_networks (
    project_id uuid NOT NULL,
    host_id uuid NOT NULL,
    subnet cidr NOT NULL
);

CREATE TABLE public.projects (
    id uuid NOT NULL,
    team_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT projects_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'::text))
);

CREATE TABLE public.schema_checksums (
    name text NOT NULL,
    sha256 text NOT NULL
);

CREATE TABLE public.schema_migrations (
    id integer NOT NULL,
    name character varying(255) NOT NULL,
    run_on timestamp without time zone NOT NULL
);

CREATE SEQUENCE public.schema_migrations_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE public.schema_migrations_id_seq OWNED BY public.schema_migrations.id;

CREATE TABLE public.teams (
    id uuid NOT NULL,
    name text NOT NULL,
    event_seq bigint DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ha_enabled boolean DEFAULT false NOT NULL,
    CONSTRAINT teams_name_check CHECK ((name ~ '^[a-z][a-z0-9-]{0,38}[a-z0-9]$'::text))
);

CREATE TABLE public.work_items (
    database_id uuid NOT NULL,
    due_at timestamp with time zone DEFAULT now() NOT NULL,
    wake_seq bigint DEFAULT 1 NOT NULL,
    settled_seq bigint DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    lease_holder text,
    lease_epoch bigint DEFAULT 0 NOT NULL,
    lease_until timestamp with time zone,
    last_error jsonb,
    last_pass_at timestamp with time zone,
    CONSTRAINT work_items_check CHECK (((lease_holder IS NULL) = (lease_until IS NULL))),
    CONSTRAINT work_items_check1 CHECK ((settled_seq <= wake_seq))
);

ALTER TABLE ONLY public.schema_migrations ALTER COLUMN id SET DEFAULT nextval('public.schema_migrations_id_seq'::regclass);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_hash_key UNIQUE (hash);

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.backups
    ADD CONSTRAINT backups_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.certificate_authorities
    ADD CONSTRAINT certificate_authorities_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT certificates_pkey PRIMARY KEY (purpose, owner_id);

ALTER TABLE ONLY public.control_backups
    ADD CONSTRAINT control_backups_object_key_key UNIQUE (object_key);

ALTER TABLE ONLY public.control_backups
    ADD CONSTRAINT control_backups_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credentials_database_id_role_name_key UNIQUE (database_id, role_name);

ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credentials_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.databases
    ADD CONSTRAINT databases_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.duties
    ADD CONSTRAINT duties_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_host_id_pooled_port_key UNIQUE (host_id, pooled_port);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_host_id_ro_port_key UNIQUE (host_id, ro_port);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_host_id_runtime_port_key UNIQUE (host_id, runtime_port);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_host_id_rw_port_key UNIQUE (host_id, rw_port);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_pkey PRIMARY KEY (endpoint_id, slot);

ALTER TABLE ONLY public.endpoints
    ADD CONSTRAINT endpoints_database UNIQUE (database_id) DEFERRABLE;

ALTER TABLE ONLY public.endpoints
    ADD CONSTRAINT endpoints_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.etcd_snapshots
    ADD CONSTRAINT etcd_snapshots_object_key_key UNIQUE (object_key);

ALTER TABLE ONLY public.etcd_snapshots
    ADD CONSTRAINT etcd_snapshots_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_pkey PRIMARY KEY (team_id, seq);

ALTER TABLE ONLY public.failover_verdicts
    ADD CONSTRAINT failover_verdicts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.hosts
    ADD CONSTRAINT hosts_name_key UNIQUE (name);

ALTER TABLE ONLY public.hosts
    ADD CONSTRAINT hosts_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.installation
    ADD CONSTRAINT installation_pkey PRIMARY KEY (singleton);

ALTER TABLE public.instances
    ADD CONSTRAINT instances_kept_until_check CHECK (((role = ANY (ARRAY['preparing'::text, 'rollbackTarget'::text])) OR (kept_until IS NULL))) NOT VALID;

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_repository_path_key UNIQUE (repository_path);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_host_id_backup_port_key UNIQUE (host_id, backup_port);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_host_id_patroni_port_key UNIQUE (host_id, patroni_port);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_host_id_postgres_port_key UNIQUE (host_id, postgres_port);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_instance_id_ordinal_key UNIQUE (instance_id, ordinal);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.operations
    ADD CONSTRAINT operations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.ports
    ADD CONSTRAINT ports_pkey PRIMARY KEY (host_id, port);

ALTER TABLE ONLY public.project_networks
    ADD CONSTRAINT project_networks_host_id_subnet_key UNIQUE (host_id, subnet);

ALTER TABLE ONLY public.project_networks
    ADD CONSTRAINT project_networks_pkey PRIMARY KEY (project_id, host_id);

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_team_id_name_key UNIQUE (team_id, name);

ALTER TABLE ONLY public.schema_checksums
    ADD CONSTRAINT schema_checksums_pkey PRIMARY KEY (name);

ALTER TABLE ONLY public.schema_migrations
    ADD CONSTRAINT schema_migrations_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_name_key UNIQUE (name);

ALTER TABLE ONLY public.teams
    ADD CONSTRAINT teams_pkey PRIMARY KEY (id);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_pkey PRIMARY KEY (database_id);

CREATE INDEX audit_log_team ON public.audit_log USING btree (team_id, id);

CREATE INDEX backups_database ON public.backups USING btree (database_id, requested_at DESC);

CREATE INDEX backups_instance ON public.backups USING btree (instance_id, requested_at DESC);

CREATE UNIQUE INDEX backups_one_open ON public.backups USING btree (instance_id) WHERE (state = ANY (ARRAY['requested'::text, 'running'::text, 'verifying'::text]));

CREATE UNIQUE INDEX certificate_authorities_one_active ON public.certificate_authorities USING btree (state) WHERE (state = 'active'::text);

CREATE INDEX certificates_database ON public.certificates USING btree (database_id);

CREATE UNIQUE INDEX credentials_one_current ON public.credentials USING btree (database_id) WHERE (ends_at IS NULL);

CREATE UNIQUE INDEX databases_name ON public.databases USING btree (project_id, name) WHERE (removed_at IS NULL);

CREATE INDEX databases_project ON public.databases USING btree (project_id, created_at DESC, id DESC);

CREATE UNIQUE INDEX databases_rehearsal_of ON public.databases USING btree (rehearsal_of) WHERE (rehearsal_of IS NOT NULL);

CREATE INDEX events_database ON public.events USING btree (database_id, seq);

CREATE INDEX events_failed_over ON public.events USING btree (database_id, seq) WHERE (reason = 'FailedOver'::text);

CREATE INDEX failover_verdicts_database ON public.failover_verdicts USING btree (database_id, at DESC, id);

CREATE INDEX failover_verdicts_instance ON public.failover_verdicts USING btree (instance_id, at);

CREATE INDEX instances_database ON public.instances USING btree (database_id);

CREATE UNIQUE INDEX instances_one_serving ON public.instances USING btree (database_id) WHERE (role = 'serving'::text);

CREATE INDEX operations_database ON public.operations USING btree (database_id, created_at DESC);

CREATE UNIQUE INDEX operations_one_unfinished ON public.operations USING btree (database_id) WHERE (finished_at IS NULL);

CREATE INDEX ports_owner ON public.ports USING btree (owner_id);

CREATE INDEX work_items_due ON public.work_items USING btree (due_at);

CREATE TRIGGER work_items_wake AFTER INSERT OR UPDATE OF wake_seq ON public.work_items FOR EACH ROW EXECUTE FUNCTION public.notify_wake();

ALTER TABLE ONLY public.api_tokens
    ADD CONSTRAINT api_tokens_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);

ALTER TABLE ONLY public.audit_log
    ADD CONSTRAINT audit_log_token_id_fkey FOREIGN KEY (token_id) REFERENCES public.api_tokens(id);

ALTER TABLE ONLY public.backups
    ADD CONSTRAINT backups_database_id_fkey FOREIGN KEY (database_id) REFERENCES public.databases(id);

ALTER TABLE ONLY public.backups
    ADD CONSTRAINT backups_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES public.instances(id);

ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT certificates_authority_id_fkey FOREIGN KEY (authority_id) REFERENCES public.certificate_authorities(id);

ALTER TABLE ONLY public.certificates
    ADD CONSTRAINT certificates_database_id_fkey FOREIGN KEY (database_id) REFERENCES public.databases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.credentials
    ADD CONSTRAINT credentials_database_id_fkey FOREIGN KEY (database_id) REFERENCES public.databases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.databases
    ADD CONSTRAINT databases_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.databases
    ADD CONSTRAINT databases_rehearsal_of_fkey FOREIGN KEY (rehearsal_of) REFERENCES public.databases(id) ON DELETE SET NULL;

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES public.endpoints(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_host_id_fkey FOREIGN KEY (host_id) REFERENCES public.hosts(id);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_pooled_port FOREIGN KEY (host_id, pooled_port) REFERENCES public.ports(host_id, port);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_ro_port FOREIGN KEY (host_id, ro_port) REFERENCES public.ports(host_id, port);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_runtime_port FOREIGN KEY (host_id, runtime_port) REFERENCES public.ports(host_id, port);

ALTER TABLE ONLY public.endpoint_proxies
    ADD CONSTRAINT endpoint_proxies_rw_port FOREIGN KEY (host_id, rw_port) REFERENCES public.ports(host_id, port);

ALTER TABLE ONLY public.endpoints
    ADD CONSTRAINT endpoints_database_id_fkey FOREIGN KEY (database_id) REFERENCES public.databases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.events
    ADD CONSTRAINT events_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);

ALTER TABLE ONLY public.instances
    ADD CONSTRAINT instances_database_id_fkey FOREIGN KEY (database_id) REFERENCES public.databases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_backup_port FOREIGN KEY (host_id, backup_port) REFERENCES public.ports(host_id, port);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_host_id_fkey FOREIGN KEY (host_id) REFERENCES public.hosts(id);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_instance_id_fkey FOREIGN KEY (instance_id) REFERENCES public.instances(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_patroni_port FOREIGN KEY (host_id, patroni_port) REFERENCES public.ports(host_id, port);

ALTER TABLE ONLY public.members
    ADD CONSTRAINT members_postgres_port FOREIGN KEY (host_id, postgres_port) REFERENCES public.ports(host_id, port);

ALTER TABLE ONLY public.operations
    ADD CONSTRAINT operations_database_id_fkey FOREIGN KEY (database_id) REFERENCES public.databases(id) ON DELETE CASCADE;

ALTER TABLE ONLY public.ports
    ADD CONSTRAINT ports_host_id_fkey FOREIGN KEY (host_id) REFERENCES public.hosts(id);

ALTER TABLE ONLY public.project_networks
    ADD CONSTRAINT project_networks_host_id_fkey FOREIGN KEY (host_id) REFERENCES public.hosts(id);

ALTER TABLE ONLY public.project_networks
    ADD CONSTRAINT project_networks_project_id_fkey FOREIGN KEY (project_id) REFERENCES public.projects(id);

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_team_id_fkey FOREIGN KEY (team_id) REFERENCES public.teams(id);

ALTER TABLE ONLY public.work_items
    ADD CONSTRAINT work_items_database_id_fkey FOREIGN KEY (database_id) REFERENCES public.databases(id) ON DELETE CASCADE;
