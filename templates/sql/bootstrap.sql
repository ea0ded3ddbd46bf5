-- Inputs: none. Roles of ours and the pooler's look-up, in the database postgres of a new instance. May run any number of times.
-- None of these roles has a password: they come with a client certificate (templates/member/pg_hba.conf).
do $roles$
declare
  wanted name;
begin
  foreach wanted in array array['holdfast_wal', 'holdfast_replicator', 'holdfast_rewind', 'holdfast_pooler']::name[] loop
    if not exists (select from pg_catalog.pg_roles where rolname = wanted) then
      execute pg_catalog.format('create role %I', wanted);
    end if;
  end loop;
end
$roles$;

alter role holdfast_wal with login replication nosuperuser nocreatedb nocreaterole password null;
alter role holdfast_replicator with login replication nosuperuser nocreatedb nocreaterole password null;
alter role holdfast_rewind with login noreplication nosuperuser nocreatedb nocreaterole password null;
alter role holdfast_pooler with login noreplication nosuperuser nocreatedb nocreaterole password null;

-- What pg_rewind reads, see its manual page, "Notes".
grant execute on function pg_catalog.pg_ls_dir(text, boolean, boolean) to holdfast_rewind;
grant execute on function pg_catalog.pg_stat_file(text, boolean) to holdfast_rewind;
grant execute on function pg_catalog.pg_read_binary_file(text) to holdfast_rewind;
grant execute on function pg_catalog.pg_read_binary_file(text, bigint, bigint, boolean) to holdfast_rewind;

-- Customers have no business in the databases that are ours.
revoke all on database postgres from public;
revoke all on database template1 from public;
grant connect on database postgres to holdfast_wal, holdfast_rewind, holdfast_pooler;

create schema if not exists holdfast;
revoke all on schema holdfast from public;
grant usage on schema holdfast to holdfast_pooler;

-- PgBouncer asks for one name at a time; roles of ours, superusers and ended roles have no answer.
create or replace function holdfast.login_verifier(wanted text)
returns table (role_name text, verifier text)
language sql stable security definer set search_path = pg_catalog, pg_temp
as $function$
  select a.rolname::text, a.rolpassword
    from pg_catalog.pg_authid a
   where a.rolname = wanted
     and a.rolcanlogin and not a.rolsuper and not a.rolreplication
     and a.rolname !~ '^(holdfast_|pg_|postgres$)'
     and a.rolpassword like 'SCRAM-SHA-256$%'
     and (a.rolvaliduntil is null or a.rolvaliduntil > pg_catalog.now())
$function$;
revoke all on function holdfast.login_verifier(text) from public;
grant execute on function holdfast.login_verifier(text) to holdfast_pooler;
