# The embedded S3 store: Ceph mon + osd + radosgw in one container, for machines without an S3 service of their own.
# Inputs: none at build time. At run time: the volumes /data (the objects) and /conf, whose files are listed in
# /usr/libexec/holdfast/objectstore.
FROM debian:trixie-slim
# Made before the packages, which then keep it: everything runs as 5432, the number that owns data in every image.
RUN groupadd --system --gid 5432 ceph \
 && useradd --system --uid 5432 --gid 5432 --home-dir /data --shell /usr/sbin/nologin ceph \
 && apt-get update \
 && apt-get install -y --no-install-recommends ceph-mon ceph-osd radosgw ceph-common \
 && apt-get clean \
 && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale \
 && install -d -m 0700 -o 5432 -g 5432 /data /conf
COPY rootfs/ /
USER 5432:5432
VOLUME ["/data", "/conf"]
EXPOSE 8443
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/libexec/holdfast/objectstore"]
