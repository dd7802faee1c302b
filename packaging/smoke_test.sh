#!/bin/sh
# Sees that installed programs work: a standalone cluster comes up, runs a sample DAG, and stops.
#   smoke_test.sh "dagdeckd" "dagdeck"     (each may be a command with arguments)
set -eu
daemon=$1 client=$2
home=$(mktemp -d)
port=${SMOKE_TEST_PORT:-18765}
$daemon standalone --home "$home" --dags-folder "$home/dags" --port "$port" --samples >"$home/log" 2>&1 &
cluster=$!
finish() {
    code=$?
    kill "$cluster" 2>/dev/null && wait "$cluster" || true
    [ "$code" = 0 ] || cat "$home/log"
    rm -rf "$home"
    exit "$code"
}
trap finish EXIT

waited=0
until [ -s "$home/token" ] && grep -q "is ready" "$home/log"; do
    kill -0 "$cluster" || { echo "the cluster ended" >&2; exit 1; }
    waited=$((waited + 1))
    [ "$waited" -lt 180 ] || { echo "the cluster is not ready after three minutes" >&2; exit 1; }
    sleep 1
done
token=$(sed -n 's/.*"token": *"\([^"]*\)".*/\1/p' "$home/token")
run() { $client --url "http://127.0.0.1:$port" --token "$token" "$@"; }
dag=dagdeck_smoke_test
cat >"$home/dags/smoke_test.py" <<'DAG'
from airflow.sdk import dag, task


@dag(schedule=None)
def dagdeck_smoke_test():
    @task
    def one():
        return 1

    @task
    def two(value):
        assert value == 1

    two(one())


dagdeck_smoke_test()
DAG
waited=0
until run dags show "$dag" >/dev/null 2>&1; do
    waited=$((waited + 1))
    [ "$waited" -lt 60 ] || { run import-errors list; echo "the DAG file is not read" >&2; exit 1; }
    sleep 1
done
run dags unpause "$dag"
run dags trigger "$dag" --wait
echo "it works"
