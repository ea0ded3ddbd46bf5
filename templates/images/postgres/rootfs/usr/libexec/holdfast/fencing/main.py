"""Blocks an address in this network namespace, so that nothing in it hears that host or is heard by it.

fence block ADDRESS SECONDS   what tries to connect is refused at once, what is connected is cut; ends by itself
fence undo ADDRESS | all      at once
fence list                    what is blocked, and for how many more seconds

Each prints one JSON line. The kernel holds the state: the priority of a route is the second at which it ends, so a block may be
renewed, and no file is needed. A block goes with its pod's network namespace, and not before."""
import errno
import ipaddress
import json
import os
import socket
import sys
import time

from fencing.netlink import RTM_DELROUTE, RTM_NEWROUTE, change_route, destroy, our_routes, sockets_to

# However long a host is lost: whoever wants more renews it. Nobody is left blocked by a controller that died.
most_seconds = 300


def main(argv):
    match argv:
        case ['block', address, seconds] if seconds.isdigit() and 0 < int(seconds) <= most_seconds:
            answer = block(ipaddress.ip_address(address), int(seconds))
        case ['undo', 'all']:
            answer = undo(lambda _: True)
        case ['undo', address]:
            answer = undo(lambda blocked, wanted=ipaddress.ip_address(address): blocked == wanted)
        case ['list']:
            answer = {'blocked': [{'address': str(address), 'seconds': max(0, end - now())} for address, end in our_routes()]}
        case _:
            print(__doc__, file=sys.stderr)
            return 64
    print(json.dumps(answer, separators=(',', ':')), flush=True)
    return 0


def block(address, seconds):
    """`left`: sockets that could not be cut, of which there should be none."""
    end = now() + seconds
    # First the route: what is cut would otherwise be back before the last is cut.
    tolerating(errno.EEXIST, change_route, RTM_NEWROUTE, address, end)
    end_later(address, end)
    cut = 0
    for family, identity in list(sockets_to(address)):
        cut += tolerating(errno.ENOENT, destroy, family, identity)
    return {'blocked': str(address), 'seconds': seconds, 'cut': cut, 'left': len(list(sockets_to(address))), 'connect': connect(address)}


def undo(matches):
    ended = [(address, end) for address, end in list(our_routes()) if matches(address)]
    return {'undone': sum(tolerating(errno.ESRCH, change_route, RTM_DELROUTE, address, end) for address, end in ended)}


def end_later(address, end):
    """A process of its own, which PID 1 reaps. It holds on to nothing of ours, so that the command is over at once."""
    if os.fork() != 0:
        return
    os.setsid()
    nothing = os.open('/dev/null', os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    time.sleep(max(0, end - now()))
    tolerating(errno.ESRCH, change_route, RTM_DELROUTE, address, end)
    os._exit(0)


def connect(address):
    """What an attempt to reach it says: `No route to host` while it is blocked."""
    with socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6) as probe:
        probe.settimeout(0.2)
        try:
            probe.connect((str(address), 5432))
            return 'connected'
        except OSError as error:
            return error.strerror or str(error)


def tolerating(number, call, *arguments):
    try:
        call(*arguments)
        return True
    except OSError as error:
        if error.errno != number:
            raise
        return False


def now():
    """Seconds of a clock that nobody sets, as the kernel of this host counts them."""
    return int(time.monotonic())
