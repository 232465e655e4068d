# The server and its command line in one image. Builds with BuildKit and without.
#
# Where no registry can be reached deploy/local-images.sh makes the two base images.
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

# The manifests, and empty sources: this folder stays the same until a dependency changes,
# so the layer that compiles the dependencies stays in the cache until then.
FROM ${BUILD_IMAGE} AS skeleton
WORKDIR /src
COPY . .
RUN find . -type f ! -name 'Cargo.*' ! -name build.rs ! -path '*/src/lib.rs' ! -path '*/src/main.rs' \
        ! -path '*/examples/*' ! -path '*/tests/*' ! -path '*/benches/*' -delete \
    && find . -type d -empty -delete \
    && echo 'fn main() {}' | tee $(find . -name '*.rs' ! -path './stubs/*') >/dev/null

FROM ${BUILD_IMAGE} AS build
# How much the compiler optimizes: less for images that only tests run.
ARG LTO=thin
ARG OPT_LEVEL=3
ENV CARGO_PROFILE_RELEASE_LTO=${LTO} \
    CARGO_PROFILE_RELEASE_OPT_LEVEL=${OPT_LEVEL}
WORKDIR /src
COPY --from=skeleton /src .
RUN cargo build --release --locked -p rstmdb -p rstmdb-cli
COPY . .
# cargo compares times, and these sources may be older than what was just compiled without them. Not those
# in target, which the dependencies generated, and not those that stand in for a dependency.
RUN find . \( -path ./target -o -path ./stubs \) -prune -o -name '*.rs' -exec touch {} + \
    && cargo build --release --locked -p rstmdb -p rstmdb-cli

# What the programs need of Debian, and a shell with a few commands: for compose's service `secret`, for start.sh of
# deploy/kubernetes, and for those who look inside. Debian's own image is larger than the programs.
FROM ${RUNTIME_IMAGE} AS system
SHELL ["/bin/sh", "-euc"]
# A number, so that an orchestrator can see that it is not root's.
RUN groupadd --gid 7401 rstmdb; \
    useradd --uid 7401 --gid 7401 --no-create-home --home-dir /data --shell /usr/sbin/nologin rstmdb
RUN mkdir -p /system/etc/ssl/certs /system/usr/local/bin; \
    for link in /bin /lib* /sbin; do if [ -L "$link" ]; then cp -P "$link" /system; fi; done; \
    cp -P /etc/passwd /etc/group /etc/nsswitch.conf /etc/os-release /etc/debian_version /system/etc; \
    programs=$(for name in sh cat cp date df du env getent grep head id ls mkdir mv od rm sleep stat tail test tr wc; do \
        command -v "/usr/bin/$name"; done); \
    libraries=$(ldd $programs | grep -o '/[^ ]*\.so[^ ]*' | sort -u; \
        ldconfig -p | grep -oE '/[^ ]*/(libgcc_s\.so\.1|libm\.so\.6)$'); \
    for file in $programs $libraries /usr/lib/os-release; do \
        install -D "$file" "/system$(realpath "$(dirname "$file")")/$(basename "$file")"; \
    done; \
    install -d -m 1777 /system/tmp; \
    install -d -m 700 /owned/data /owned/secret

FROM scratch
COPY --from=system /system /
COPY --from=system --chown=7401:7401 /owned /
# The roots that `rstmdb-cli --tls` trusts when no CA is named.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/rstmdb /src/target/release/rstmdb-cli /usr/local/bin/
ENV PATH=/usr/local/bin:/usr/bin:/bin
USER 7401:7401
WORKDIR /data
VOLUME /data
# Inside a container every address is its own; what is reachable is decided where ports are published. Not
# RSTMDB_PEER_BIND: who joins nodes to a cluster has to say who may be one (RSTMDB_CLUSTER_SECRET_FILE).
ENV RSTMDB_DATA=/data \
    RSTMDB_BIND=0.0.0.0:7401 \
    RSTMDB_HTTP_BIND=0.0.0.0:7403 \
    RSTMDB_METRICS_BIND=0.0.0.0:9090
# Clients, peers, HTTP, admin HTTP.
EXPOSE 7401 7402 7403 9090
STOPSIGNAL SIGTERM
# PING needs no token. With TLS the variables of rstmdb-cli (RSTMDB_TLS, RSTMDB_CA_CERT) have to be set.
HEALTHCHECK --interval=5s --timeout=3s --start-period=30s --retries=3 \
    CMD ["rstmdb-cli", "--server", "127.0.0.1:7401", "ping"]
ENTRYPOINT ["rstmdb"]
