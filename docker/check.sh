#!/usr/bin/env bash
# Builds the image and trains a short quickstart in it, without a Docker engine: as root, on Debian with
# buildah and debootstrap. Further arguments go to `buildah build`, e.g. --secret id=pip,src=pip.conf.
set -euo pipefail
cd "$(dirname "$0")/.."
export BUILDAH_ISOLATION=chroot
work=$(mktemp -d)
images() { buildah --root "$work/storage" --runroot "$work/run" "$@"; }
finish() {
    images rm --all > /dev/null || true
    images rmi --all --force > /dev/null || true
    rm -rf "$work"
}
trap finish EXIT

debootstrap --variant=minbase bookworm "$work/root" > "$work/debootstrap.log"
base=$(images from scratch)
images add -q "$base" "$work/root" /
images commit -q --rm "$base" debian:bookworm-slim
rm -rf "$work/root"
images build --pull=false --build-arg "COMMIT=$(git rev-parse --short=12 HEAD)" "$@" \
    -f docker/Dockerfile -t initbench:check .
images images

container=$(images from --pull=false localhost/initbench:check)
images run --user 1000:1000 "$container" -- sh -ec '
    [ "$(id -u)" = 1000 ] && [ "$RAY_AUTH_MODE" = token ]
    initbench run configs/quickstart.yaml --set grid.seeds=1 --out /results/quickstart
    initbench board --check /results/quickstart'
