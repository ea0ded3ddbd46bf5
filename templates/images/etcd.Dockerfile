# The image of the etcd that holds the leader keys of Patroni clusters. Takes etcd's own flags as its command.
# Inputs: none; the build context is empty but for this file.
FROM debian:trixie-slim

# The same number as in every other image, so that volumes can be served by the same per-host tools.
RUN groupadd --gid 5432 postgres \
 && useradd --uid 5432 --gid 5432 --home-dir /tmp --no-create-home --shell /bin/sh postgres \
 && printf 'path-exclude=/usr/share/%s/*\n' doc man info locale > /etc/dpkg/dpkg.cfg.d/holdfast

RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update \
 && apt-get install -y --no-install-recommends etcd-server etcd-client \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/* /var/lib/etcd \
 && install -d -o postgres -g postgres -m 0700 /data /conf

USER 5432:5432
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/bin/etcd"]
