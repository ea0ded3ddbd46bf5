# The image of endpoints: HAProxy, PgBouncer, s6.
# Inputs: the build context is templates/images/haproxy/ (rootfs/) beside this file.
FROM debian:trixie-slim

# The same number as in every other image, given before any package could take another.
RUN groupadd --gid 5432 postgres \
 && useradd --uid 5432 --gid 5432 --home-dir /tmp --no-create-home --shell /bin/sh postgres \
 && printf 'path-exclude=/usr/share/%s/*\n' doc man info locale > /etc/dpkg/dpkg.cfg.d/holdfast

# perl (50 MB) serves Debian's wrappers for PostgreSQL clients, none of which is used here.
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update \
 && apt-get install -y --no-install-recommends haproxy pgbouncer s6 \
 && dpkg --purge --force-depends perl perl-modules-5.40 libperl5.40 \
 && rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/* /etc/haproxy /etc/pgbouncer \
 && install -d -o postgres -g postgres -m 0700 /conf

COPY rootfs/ /
ENV PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 HOME=/tmp
USER 5432:5432
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/libexec/holdfast/init"]
