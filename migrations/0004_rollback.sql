-- From a cluster back to the server that it came from: the cluster follows in its turn. Only loosens what is checked.

alter table instances drop constraint instances_kept_until_check;
-- of an instance that served: until when it follows; then it is retired
alter table instances add constraint instances_kept_until_check
  check (case role when 'rollbackTarget' then kept_until is not null when 'preparing' then true else kept_until is null end) not valid;

alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
  check (kind in ('restore', 'takeOverEndpoint', 'switchover', 'restart', 'reinitialise', 'changeTier', 'upgradeToHa', 'rollback'));
