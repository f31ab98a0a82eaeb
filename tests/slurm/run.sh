#!/usr/bin/env bash
# Sweeps on a real Slurm: `tests/slurm/run.sh [PROGRAM]` (default target/release/tagcl). A task is killed in the middle of
# its run, another is told that its time is up; the tables must equal the local engine's byte for byte.
set -euo pipefail
cd "$(dirname "$0")/../.."
tagcl="$(realpath "${1:-target/release/tagcl}")"
work="$(mktemp -d)"
export SLURM_CONF="$work/cluster/slurm.conf"
unset TAGCL_DATA TAGCL_OUT
sweeping=

finish() {
    local code=$?
    [ -z "$sweeping" ] || kill "$sweeping" 2>/dev/null || true
    scancel --user="$(id -un)" 2>/dev/null || true
    tests/slurm/cluster.sh stop "$work/cluster" || true
    if [ "$code" -eq 0 ]; then rm -rf "$work"; else echo "kept: $work" >&2; fi
}
trap finish EXIT

fail() {
    echo "FAILED: $*" >&2
    tail -n 40 "$work"/*.err >&2 || true
    tail -n 10 "$work"/*/slurm-logs/*.log >&2 || true
    squeue >&2 || true
    exit 1
}

# within SECONDS WHAT COMMAND...: waits until the command succeeds.
within() {
    local until=$((SECONDS + $1)) what="$2"
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$until" ] || fail "$what took too long"
        sleep 0.1
    done
}

cat > "$work/sweep.toml" <<'EOF'
seeds = "1-2"
[base]
benchmark = "rotated-mnist"
data = "embedded"
tasks = 4
# A second or more a run, also on a fast machine: one must be under way when it is killed.
hidden = 512
fraction = 0.6
[grid]
lr = [0.2, 0.1, 0.05, 0.02, 0.01, 0.005]
[select]
seeds = [7]
EOF
cat > "$work/long.toml" <<'EOF'
[base]
benchmark = "rotated-mnist"
data = "embedded"
optimizer = "tag-rmsprop"
lr = 0.001
fraction = 0.8
hidden = 256
[grid]
tasks = [10]
EOF

mkdir "$work/cluster"
tests/slurm/cluster.sh start "$work/cluster"

echo "local"
"$tagcl" sweep "$work/sweep.toml" --out "$work/local" > "$work/local.txt" 2> "$work/local.err" || fail "local sweep"

echo "on Slurm, with a task killed"
"$tagcl" sweep "$work/sweep.toml" --out "$work/slurm" --engine slurm --poll 0.5 --slurm-arg=--nice=1 \
    > "$work/slurm.txt" 2> "$work/slurm.err" &
sweeping=$!
within 60 "the first task" pgrep -f "run-manifest $work/slurm/"
victim="$(pgrep -f "$tagcl run-manifest $work/slurm/" | head -n 1)"
kill -9 "$victim" || fail "the victim had ended"
wait "$sweeping" || fail "sweep on Slurm"
sweeping=
cmp "$work/local.txt" "$work/slurm.txt" || fail "the tables differ"
arrays="$(grep -c 'submitted array' "$work/slurm.err")"
# Six runs in chunks of four are two arrays, two winners a third; the killed task's run is the fourth.
[ "$arrays" -ge 4 ] || fail "the killed task was not submitted again: $arrays arrays"
"$tagcl" status "$work/slurm" | grep -q '^8 runs: 8 done$' || fail "status: $("$tagcl" status "$work/slurm")"

echo "the local engine on Slurm's results"
"$tagcl" sweep "$work/sweep.toml" --out "$work/slurm" > "$work/mixed.txt" 2> "$work/mixed.err" || fail "mixed sweep"
cmp "$work/local.txt" "$work/mixed.txt" || fail "the tables differ"
[ "$(grep -c 'complete already' "$work/mixed.err")" -eq 8 ] || fail "a run was run again"

echo "a task told that its time is almost up"
"$tagcl" sweep "$work/long.toml" --out "$work/long-local" > "$work/long-local.txt" 2> "$work/long-local.err" || fail "long, local"
"$tagcl" sweep "$work/long.toml" --out "$work/long" --engine slurm --poll 0.5 --time-limit 10 \
    > "$work/long.txt" 2> "$work/long.err" &
sweeping=$!
within 60 "the long task" pgrep -f "run-manifest $work/long/"
job="$(squeue -h -r -o %A)"
scancel --signal=USR1 --batch "$job"
requeued() { squeue -h -r -o '%T %r' | grep -q '^PENDING'; }
within 30 "queueing the task again" requeued
# Slurm lets a task rest for two minutes. This test does not, but the node refuses it within the seconds of its own end.
sleep 5
scontrol update JobId="$job" StartTime=now
wait "$sweeping" || fail "long sweep on Slurm"
sweeping=
cmp "$work/long-local.txt" "$work/long.txt" || fail "the tables differ"
[ "$(grep -c 'submitted array' "$work/long.err")" -eq 1 ] || fail "the task was submitted again, not queued again"

echo "Slurm: all equal ($SECONDS s)"
