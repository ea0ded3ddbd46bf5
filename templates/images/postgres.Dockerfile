# The image of members, backup agents and one-shot jobs: PostgreSQL 17, Patroni, pgBackRest, s6.
# Inputs: the build context is templates/images/postgres/ (rootfs/) beside this file.
# One image for both sides of pgBackRest, because its protocol wants the very same version on both.
FROM debian:trixie-slim

# The user comes before any package, so that no package gives it another number: volumes are shared between images.
RUN groupadd --gid 5432 postgres \
 && useradd --uid 5432 --gid 5432 --home-dir /tmp --no-create-home --shell /bin/sh postgres \
 && printf 'path-exclude=/usr/share/%s/*\n' doc man info locale > /etc/dpkg/dpkg.cfg.d/holdfast

# createcluster: Debian's package would make a cluster of its own inside the image.
# Purged against the packages' wishes, 250 MB that nothing here runs: LLVM serves JIT, which the rendered configuration turns
# off; perl serves Debian's wrappers, which PATH goes round; locales, because databases use the builtin C.UTF-8.
# snakeoil: a private key that every container of this image would share.
RUN export DEBIAN_FRONTEND=noninteractive \
 && apt-get update \
 && apt-get install -y --no-install-recommends postgresql-common \
 && sed -i 's/^#create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf \
 && apt-get install -y --no-install-recommends postgresql-17 patroni python3-etcd pgbackrest s6 ca-certificates \
 && dpkg --purge --force-depends libllvm19 libz3-4 perl perl-modules-5.40 libperl5.40 locales libc-l10n \
 && rm -rf /usr/lib/postgresql/17/lib/bitcode /usr/lib/postgresql/17/lib/llvmjit* \
 && rm -f /etc/ssl/private/ssl-cert-snakeoil.key /etc/ssl/certs/ssl-cert-snakeoil.pem \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/lib/postgresql /var/log/* /etc/pgbackrest.conf /etc/pgbackrest \
 && install -d -o postgres -g postgres -m 0700 /data /conf /wal

COPY rootfs/ /
RUN python3 -m compileall -q /usr/libexec/holdfast
ENV PATH=/usr/lib/postgresql/17/bin:/usr/local/bin:/usr/bin:/bin LC_ALL=C.UTF-8 HOME=/tmp
USER 5432:5432
STOPSIGNAL SIGINT
ENTRYPOINT ["/usr/libexec/holdfast/init"]
