-- A copy of a database on which its upgrade is tried, and which goes when that is over. Only adds.

-- of a copy: the database it was restored from; at most one at a time, until its last backup is gone
alter table databases add column rehearsal_of uuid references databases on delete set null;
create unique index databases_rehearsal_of on databases (rehearsal_of) where rehearsal_of is not null;

alter table operations drop constraint operations_kind_check;
alter table operations add constraint operations_kind_check
  check (kind in ('restore', 'takeOverEndpoint', 'switchover', 'restart', 'reinitialise', 'changeTier', 'upgradeToHa', 'rollback', 'downgrade', 'rehearseUpgrade'));
