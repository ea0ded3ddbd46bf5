# The image of the etcd that holds the leader keys of Patroni clusters. Inputs: the build context is templates/images/etcd/
# (rootfs/) beside this file. At run time: /data (the store) and /conf, whose files are listed in src/bootstrap/etcd/blueprint.ts.
# Its version is one that Patroni 4.0.7 of the other image works with: with authentication, 3.5.28 and newer ones break it.
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

COPY rootfs/ /
USER 5432:5432
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/libexec/holdfast/etcd-member"]
