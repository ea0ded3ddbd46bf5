"""A Patroni that finds a replica's PostgreSQL running, because only Patroni had died, asks it for its settings instead of reading its own
configuration, and keeps what came from postgresql.conf. PostgreSQL says of hba_file and ident_file that they come from elsewhere (it
makes their paths absolute), so Patroni forgets them and writes its defaults in their place the next time: from its next start on that
member lets nobody in. Here both stay as they are configured. Patroni 4.0.7, `config.py:load_current_server_parameters`."""
from patroni.postgresql.config import ConfigHandler


def keep_access_rules():
    load_running = ConfigHandler.load_current_server_parameters

    def load(self):
        configured = self._server_parameters
        load_running(self)
        for name in ('hba_file', 'ident_file'):
            self._server_parameters[name] = configured[name]

    ConfigHandler.load_current_server_parameters = load
