#!/bin/bash
# One task of a job array: run number $3 + its own of manifest $2, by program $1.
# Told by Slurm that its time is almost up (USR1), the run stops where it can go on, and the task is queued again.
at_limit=
trap 'at_limit=yes; kill -TERM "$run"' USR1
trap 'kill -TERM "$run"' TERM INT
"$1" run-manifest "$2" "$(($3 + SLURM_ARRAY_TASK_ID))" &
run=$!
while wait "$run"; code=$?; [ "$code" -gt 128 ] && kill -0 "$run" 2>/dev/null; do :; done
if [ "$code" -eq 130 ] && [ -n "$at_limit" ]; then
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
