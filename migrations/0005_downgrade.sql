-- From a cluster to one server at any time: the server that is to serve is made beside the cluster first. Only loosens what is checked.

alter table instances drop constraint instances_kept_until_check;
-- of an instance that served: until when it follows; then it is retired. Of one that is being made, not yet
alter table instances add constraint instances_kept_until_check
  check (role in ('preparing', 'rollbackTarget') or kept_until is null) not valid;

alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
  check (kind in ('restore', 'takeOverEndpoint', 'switchover', 'restart', 'reinitialise', 'changeTier', 'upgradeToHa', 'rollback', 'downgrade'));
