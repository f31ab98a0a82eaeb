#!/usr/bin/env bash
# A Slurm cluster of one node in a folder of its own: `cluster.sh start DIR`, `cluster.sh stop DIR`.
# Nothing of the machine's own Slurm or munge is touched; DIR/slurm.conf is the cluster (SLURM_CONF). Needs Debian's or
# Ubuntu's packages, and installs them where they are missing.
set -euo pipefail

dir="$2"
export SLURM_CONF="$dir/slurm.conf"

fail() {
    echo "SLURM DOES NOT WORK HERE: $*" >&2
    for log in munged slurmctld slurmd; do
        echo "--- $log" >&2
        tail -n 20 "$dir/$log.log" >&2 2>/dev/null || true
    done
    exit 1
}

install_packages() {
    local missing=()
    for program in slurmctld slurmd sbatch squeue munged; do
        command -v "$program" >/dev/null || PATH="$PATH:/usr/sbin" command -v "$program" >/dev/null || missing+=("$program")
    done
    [ "${#missing[@]}" -eq 0 ] && return
    echo "installing slurm-wlm and munge (missing: ${missing[*]})" >&2
    local sudo=()
    [ "$(id -u)" -eq 0 ] || sudo=(sudo -n)
    export DEBIAN_FRONTEND=noninteractive
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" apt-get install -y -qq --no-install-recommends slurm-wlm munge >&2
}

start() {
    install_packages
    export PATH="$PATH:/usr/sbin"
    mkdir -p "$dir/state" "$dir/spool" "$dir/munge"
    # munge insists on folders that nobody else may write to.
    chmod 755 "$dir" "$dir/munge"
    head -c 1024 /dev/urandom > "$dir/munge/key"
    chmod 400 "$dir/munge/key"
    munged --force --foreground --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
        --log-file="$dir/munged.log" --seed-file="$dir/munge/seed" > "$dir/munged.out" 2>&1 &
    echo $! > "$dir/munged.pid"

    local host version port
    host="$(hostname -s)"
    version="$(slurmd -V | grep -o '[0-9]*' | head -n 1)"
    # Ports that this shell's number makes unlikely to be taken.
    port=$((20000 + $$ % 20000))
    cat > "$SLURM_CONF" <<EOF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket
CredType=cred/munge
SlurmctldPort=$port
SlurmdPort=$((port + 1))
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.own.pid
SlurmdPidFile=$dir/slurmd.own.pid
SlurmctldLogFile=$dir/slurmctld.log
SlurmdLogFile=$dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0,bf_interval=2
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
MaxArraySize=${MAX_ARRAY_SIZE:-4}
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
    if [ "$version" -ge 23 ]; then
        echo "CgroupPlugin=disabled" > "$dir/cgroup.conf"
    fi
    for _ in $(seq 50); do [ -S "$dir/munge/socket" ] && break; sleep 0.1; done
    [ -S "$dir/munge/socket" ] || fail "munged made no socket: $(cat "$dir/munged.out")"
    slurmctld -D -f "$SLURM_CONF" > "$dir/slurmctld.out" 2>&1 &
    echo $! > "$dir/slurmctld.pid"
    slurmd -D -f "$SLURM_CONF" -N "$host" > "$dir/slurmd.out" 2>&1 &
    echo $! > "$dir/slurmd.pid"
    for _ in $(seq 150); do
        if [ "$(sinfo -h -o %t 2>/dev/null)" = idle ]; then
            echo "$(slurmd -V) is up in $dir" >&2
            return
        fi
        sleep 0.2
    done
    fail "no node became idle: $(cat "$dir/slurmctld.out" "$dir/slurmd.out" 2>/dev/null | tail -n 20)"
}

stop() {
    local daemon pid
    for daemon in slurmd slurmctld munged; do
        pid="$(cat "$dir/$daemon.pid" 2>/dev/null)" || continue
        kill "$pid" 2>/dev/null || true
    done
}

"$1"
