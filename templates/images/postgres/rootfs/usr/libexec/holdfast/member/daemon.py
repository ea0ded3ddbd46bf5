"""Patroni's daemon, and what is ours about it."""
import os
import subprocess
import sys

from patroni.__main__ import Patroni
from patroni.request import PatroniRequest

from .standbys import count_only

pg_version = '/data/pg/PG_VERSION'
# The service's finish script ends the container: only a person, or the controller, can know better.
refused = 78


class MemberDaemon(Patroni):

    def __init__(self, config):
        count_only(config['name'], config['members'])
        super().__init__(config)
        # Patroni verifies no server among members. What we ask other members with carries the password of the REST API.
        self.request = PatroniRequest(self.config)
        # See reload_config: Patroni's own way is not to be taken.
        self.api.reload_local_certificate = lambda: None

    def ensure_dcs_access(self, *args, **kwargs):
        """A member that has data takes part in a cluster that etcd knows. If etcd knows none, it has lost its keys: Patroni would
        let whoever comes first lead, however old its data are. Only a member that may begin a cluster may go on with it."""
        cluster = super().ensure_dcs_access(*args, **kwargs)
        if not cluster.initialize and 'bootstrap' not in self.config and os.path.exists(pg_version):
            subprocess.call(['/usr/libexec/holdfast/say', 'refused', 'KeysLost',
                             'etcd knows nothing of this cluster, although it has data; whoever has the newest must lead'])
            sys.exit(refused)
        return cluster

    def reload_config(self, sighup=False, local=False):
        """A new certificate, and what is trusted, are loaded into the listening socket. Patroni would close its REST port for up to
        half a second, which is long enough for the proxies to end every session on a leader; and it would miss new authorities."""
        if sighup:
            context, restapi = self.api.socket.context, self.config['restapi']
            context.load_verify_locations(restapi['cafile'])
            context.load_cert_chain(restapi['certfile'], restapi['keyfile'])
        super().reload_config(sighup, local)
