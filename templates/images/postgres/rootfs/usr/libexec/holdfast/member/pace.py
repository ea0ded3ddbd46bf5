"""Patroni's fixed waits, made as long as what they wait for. None of them decides anything: what follows each of them looks at the
state of the world again, and does the same after a shorter wait as after the whole one."""
import time
import types

from patroni import ha, postgresql

# Seconds between two looks.
interval = 0.1
# The least that is waited for synchronous_standby_names to be in force. PostgreSQL is told by a signal that its processes heed
# before they do anything else; this is for the one that the kernel let run no further just then. What such a one may still
# acknowledge is what standbys had when the signal came, and Patroni waits for the standbys to have more than that, see
# SyncHandler._handle_synchronous_standby_names_change.
least_synchronous_wait = 0.5


def quicken():
    # Postgresql.stop: between two looks whether the shutdown checkpoint is written, and whether the clients are gone.
    postgresql.STOP_POLLING_INTERVAL = interval
    # Postgresql.wait_for_startup and wait_for_port_open: between two looks whether Postgres accepts connections.
    postgresql.time = _clock(lambda seconds: time.sleep(min(seconds, interval)))
    polling_loop = postgresql.polling_loop
    postgresql.polling_loop = lambda timeout, every=1: polling_loop(timeout, min(every, interval))

    multisync = ha.Ha._process_multisync_replication

    def process_multisync(self):
        ha.time = _clock(lambda seconds: _until_synchronous(self, seconds))
        try:
            multisync(self)
        finally:
            ha.time = time

    ha.Ha._process_multisync_replication = process_multisync


def _until_synchronous(self, seconds):
    """Having changed synchronous_standby_names Patroni sleeps for two seconds, and then names those standbys in /sync that are
    confirmed to be synchronous by now. Here it looks until all that were picked are; who is not within Patroni's own time is left
    to its next round, as ever."""
    began = time.monotonic()
    time.sleep(min(least_synchronous_wait, seconds))
    while time.monotonic() - began < seconds:
        self.state_handler.reset_cluster_info_state(None)
        state = self.state_handler.sync_handler.current_state(self.cluster)
        if state.active and state.sync_confirmed >= state.active:
            return
        time.sleep(interval)


def _clock(sleep):
    clock = types.ModuleType('time')
    clock.__dict__.update(vars(time))
    clock.sleep = sleep
    return clock
