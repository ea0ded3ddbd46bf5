# The per-host disks helper: makes, grows and re-attaches the image files behind size-limited volumes.
# Inputs: none at build time. At run time: HOLDFAST_INSTALLATION, the host's /dev at /dev, a volume at /disks.
FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends xfsprogs mount util-linux perl-base \
 && apt-get clean && rm -rf /var/lib/apt/lists/* /usr/share/doc /usr/share/man /usr/share/locale
COPY rootfs/ /
VOLUME /disks
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/libexec/holdfast/disks-init"]
