"""As much of the kernel's netlink protocols as the fence needs: routes (rtnetlink(7)) and sockets (sock_diag(7))."""
import ipaddress
import socket
import struct

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP, NLM_F_CREATE = 1, 4, 0x300, 0x400
NETLINK_ROUTE, NETLINK_SOCK_DIAG = 0, 4
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTA_DST, RTA_PRIORITY = 1, 6
RT_TABLE_MAIN, RTN_UNREACHABLE = 254, 7
SOCK_DIAG_BY_FAMILY, SOCK_DESTROY = 20, 21
# Every state of TCP but TIME_WAIT, CLOSE and LISTEN.
CONNECTED = 0xfff & ~(1 << 6 | 1 << 7 | 1 << 10)
# Routes with this rtm_protocol are ours; numbers above 192 are free for everybody (linux/rtnetlink.h: 'user' values).
OUR_PROTOCOL = 214


def _ask(family, kind, flags, body):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, family) as channel:
        channel.settimeout(2)
        channel.bind((0, 0))
        channel.send(struct.pack('=IHHII', 16 + len(body), kind, NLM_F_REQUEST | flags, 1, 0) + body)
        while True:
            answer = channel.recv(1 << 18)
            while len(answer) >= 16:
                length, answered = struct.unpack_from('=IH', answer)
                message, answer = answer[16:length], answer[(length + 3) & ~3:]
                if answered == NLMSG_DONE:
                    return
                if answered == NLMSG_ERROR:
                    code = -struct.unpack_from('=i', message)[0]
                    if code:
                        raise OSError(code, 'netlink')
                    return
                yield answered, message


def _attribute(kind, value):
    return struct.pack('=HH', 4 + len(value), kind) + value + b'\0' * (-len(value) % 4)


def _family(address):
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def change_route(kind, address, priority):
    """An `unreachable` route to one address. One for each priority: the address is blocked as long as there is any."""
    body = struct.pack('=BBBBBBBBI', _family(address), address.max_prefixlen, 0, 0, RT_TABLE_MAIN, OUR_PROTOCOL, 0, RTN_UNREACHABLE, 0)
    body += _attribute(RTA_DST, address.packed) + _attribute(RTA_PRIORITY, struct.pack('=I', priority))
    list(_ask(NETLINK_ROUTE, kind, NLM_F_ACK | (NLM_F_CREATE if kind == RTM_NEWROUTE else 0), body))


def our_routes():
    """(address, priority) of every route of ours."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for kind, message in _ask(NETLINK_ROUTE, RTM_GETROUTE, NLM_F_DUMP, struct.pack('=B11x', family)):
            if kind != RTM_NEWROUTE or message[5] != OUR_PROTOCOL:
                continue
            found, rest = {}, message[12:]
            while len(rest) >= 4:
                length, attribute = struct.unpack_from('=HH', rest)
                found[attribute], rest = rest[4:length], rest[(length + 3) & ~3:]
            if RTA_DST in found and RTA_PRIORITY in found:
                yield ipaddress.ip_address(found[RTA_DST]), struct.unpack('=I', found[RTA_PRIORITY])[0]


def sockets_to(address):
    """TCP sockets of this network namespace that are connected with the address, also those of IPv6 that speak IPv4."""
    wanted = {address.packed} if address.version == 6 else {address.packed, b'\0' * 10 + b'\xff\xff' + address.packed}
    for family in (socket.AF_INET, socket.AF_INET6):
        query = struct.pack('=BBBBI', family, socket.IPPROTO_TCP, 0, 0, CONNECTED) + b'\0' * 48
        for kind, message in _ask(NETLINK_SOCK_DIAG, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, query):
            peer = message[24:28] if family == socket.AF_INET else message[24:40]
            if kind == SOCK_DIAG_BY_FAMILY and peer in wanted:
                yield family, message[4:52]


def destroy(family, identity):
    body = struct.pack('=BBBBI', family, socket.IPPROTO_TCP, 0, 0, 0xffffffff) + identity
    list(_ask(NETLINK_SOCK_DIAG, SOCK_DESTROY, NLM_F_ACK, body))
