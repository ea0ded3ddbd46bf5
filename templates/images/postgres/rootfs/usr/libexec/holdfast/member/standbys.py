"""Only members of the cluster may ever acknowledge a commit. Where Patroni wants "any standby" (strict mode, while no replica is
there yet), PostgreSQL is given the names of the members instead of '*': '*' would let anything that streams and confirms count, such
as a receiver of WAL with a slot, a base backup, or a former database that follows in case of a rollback.

Patroni is shown its own '*' again, so that it decides as ever. The leader's own name in a list is the sign: Patroni never puts it in."""
from patroni.postgresql import Postgresql
from patroni.postgresql.config import ConfigHandler


def count_only(name, members):
    everybody = ','.join(sorted({name, *members}))
    set_names, get_names = ConfigHandler.set_synchronous_standby_names, Postgresql.synchronous_standby_names

    def set_translated(self, value):
        return set_names(self, f'1 ({everybody})' if value == '*' else value and value.replace('*', everybody))

    def get_translated(self):
        value = get_names(self)
        method, _, names = value.partition('(')
        if name not in names.rstrip(')').split(','):
            return value
        return '*' if method == '1 ' else f'{method}(*)'

    ConfigHandler.set_synchronous_standby_names = set_translated
    Postgresql.synchronous_standby_names = get_translated
