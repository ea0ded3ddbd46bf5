-- From one server to a cluster and back: a second instance of a database that follows the serving one. Only adds.

alter table instances drop constraint instances_role_check;
alter table instances add constraint instances_role_check
  check (role in ('serving', 'restoring', 'preparing', 'rollbackTarget', 'retired'));

-- of a rollback target: until when it follows; then it is retired
alter table instances add column kept_until timestamptz;
alter table instances add constraint instances_kept_until_check check ((role = 'rollbackTarget') = (kept_until is not null)) not valid;

alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
  check (kind in ('restore', 'takeOverEndpoint', 'switchover', 'restart', 'reinitialise', 'changeTier', 'upgradeToHa'));
