#!/usr/bin/env bash
# Makes the base images of the Dockerfile on this machine, for where no registry can be reached:
#
#   eval "$(deploy/local-images.sh)" && docker-compose up --build
#
# Standard output is the two variables to export and nothing else. Images that exist are left alone.
# With the argument `runtime` it makes only the image that programs run on.
# The images are made of Debian's packages and of the Rust toolchain installed here. They are for tests: they are not
# kept up to date, and the build image has the certificates that this machine trusts.
#
# Needs Docker, root or sudo, and a Debian mirror (DEBIAN_MIRROR names another than deb.debian.org).
set -euo pipefail

readonly SUITE=bookworm
readonly MIRROR=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
readonly RUNTIME=rstmdb-local/debian:$SUITE
readonly BUILD=rstmdb-local/rust:$SUITE

# Standard output is for the variables; whatever the tools below say goes to standard error.
exec 3>&1 1>&2

fail() {
  printf 'local-images: %s\n' "$*"
  exit 1
}

exists() {
  docker image inspect "$1" >/dev/null 2>&1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif sudo -n true 2>/dev/null; then
    sudo "$@"
  else
    fail "root is needed for: $*"
  fi
}

install_debootstrap() {
  command -v debootstrap >/dev/null || [ -x /usr/sbin/debootstrap ] && return
  command -v apt-get >/dev/null || fail 'debootstrap is not installed; install it and try again'
  as_root apt-get install -qq --yes --no-install-recommends debootstrap && return
  as_root apt-get update -qq
  as_root apt-get install -qq --yes --no-install-recommends debootstrap
}

# What `debian:bookworm-slim` is: the minimal system, without what only people read.
make_runtime() {
  install_debootstrap
  local folder image
  folder=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "as_root rm -rf '$folder'" EXIT
  as_root env PATH="$PATH:/usr/sbin:/sbin" \
    debootstrap --variant=minbase "$SUITE" "$folder/root" "$MIRROR"
  # It gets its name only when it is complete: later runs take an image with this name as it is.
  image=$(as_root tar --create --directory="$folder/root" --numeric-owner \
    --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*' --exclude='./var/log/*' \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' \
    --exclude='./dev/*' . |
    docker import --change 'CMD ["/bin/sh"]' -)
  docker tag "$image" "$RUNTIME"
}

# What `rust:bookworm` is, as far as this build needs it: a C compiler, certificates, the toolchain.
# cargo gets the certificates of this machine, which may stand behind a proxy with its own.
make_build() {
  local sysroot certificates container
  sysroot=$(rustc --print sysroot) || fail 'rustc cannot be run; install Rust and try again'
  [ "$sysroot" != /usr ] || fail 'the Rust of the distribution is mixed with the rest of /usr; use rustup'
  certificates=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}
  [ -r "$certificates" ] || fail "$certificates cannot be read; SSL_CERT_FILE names the trusted certificates"
  container=rstmdb-local-$$
  # shellcheck disable=SC2064 # the container of now
  trap "docker rm --force $container >/dev/null 2>&1 || true" EXIT
  docker run --name "$container" \
    --volume "$sysroot:/toolchain:ro" --volume "$certificates:/certificates.crt:ro" \
    "$RUNTIME" /bin/sh -euc '
      export DEBIAN_FRONTEND=noninteractive
      apt-get update -qq
      apt-get install -qq --yes --no-install-recommends gcc libc6-dev ca-certificates
      apt-get clean
      rm -rf /var/lib/apt/lists/* /usr/share/doc/* /usr/share/man/*
      cp -a /toolchain/bin/cargo /toolchain/bin/rustc /usr/local/bin/
      cp -a /toolchain/lib/. /usr/local/lib/
      cp /certificates.crt /usr/local/share/certificates.crt
    '
  docker commit --change 'ENV CARGO_HTTP_CAINFO=/usr/local/share/certificates.crt' \
    "$container" "$BUILD"
}

docker version >/dev/null || fail 'the Docker daemon cannot be reached'
exists "$RUNTIME" || (make_runtime)
if [ "${1:-}" = runtime ]; then
  printf 'export RUNTIME_IMAGE=%s\n' "$RUNTIME" >&3
  exit
fi
exists "$BUILD" || (make_build)
printf 'export BUILD_IMAGE=%s RUNTIME_IMAGE=%s\n' "$BUILD" "$RUNTIME" >&3
