#!/usr/bin/env bash
# A real SLURM cluster of one node on this machine, for tests and for trying job arrays out.
#   scripts/local_slurm.sh start FOLDER     then: source FOLDER/env.sh
#   scripts/local_slurm.sh stop FOLDER
# Needs slurmctld, slurmd, slurm-client and munge, and root. Everything it writes is in FOLDER, and
# it listens on the loopback address alone. CPUS (those of the machine) and GPUS (2, fake: they are
# granted, and nothing is behind them) say what the node offers.
set -euo pipefail

fail() {
    echo "local_slurm.sh: $*" >&2
    exit 1
}

daemon() { # NAME COMMAND...
    local name=$1
    shift
    setsid "$@" </dev/null >"$folder/log/$name.out" 2>&1 &
    echo $! >"$folder/pids/$name"
}

wait_for() { # WHAT COMMAND...
    local what=$1
    shift
    for _ in {1..300}; do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.1
    done
    tail -n 5 -- "$folder"/log/* >&2 || true
    stop
    fail "$what doesn't answer"
}

runs() { # NAME: whether the process that was started under this name is still that one
    local pid
    pid=$(cat "$folder/pids/$1" 2>/dev/null) || return 1
    { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF "$1" &&
        tr '\0' '\n' <"/proc/$pid/environ" | grep -qxF "LOCAL_SLURM=$folder"; } 2>/dev/null
}

idle() {
    sinfo --noheader --format %t | grep -qE '^(idle|mix|alloc)'
}

free() { # PORT
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

configure() {
    local gpu cpus=${CPUS:-$(nproc)} gpus=${GPUS:-2} port=$((20000 + RANDOM % 10000))
    until free $port && free $((port + 1)); do port=$((port + 2)); done
    local memory=$(($(awk '/^MemTotal/ { print $2 }' /proc/meminfo) / 1024))
    cat >"$folder/slurm.conf" <<EOF
ClusterName=local
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
# A job that is requeued waits until its credential has expired.
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
SlurmctldPort=$port
SlurmdPort=$((port + 1))
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
PlugStackConfig=$folder/plugstack.conf
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SlurmdParameters=config_overrides
EnforcePartLimits=ALL
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,sched_min_interval=0,batch_sched_delay=0,bf_interval=2
MaxArraySize=1001
ReturnToService=2
KillWait=5
MinJobAge=3600
MailProg=/bin/true
GresTypes=gpu
NodeName=localhost NodeAddr=127.0.0.1 CPUs=$cpus RealMemory=$memory Gres=gpu:$gpus State=UNKNOWN
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE DefaultTime=01:00:00 State=UP
EOF
    : >"$folder/plugstack.conf"
    : >"$folder/gres.conf"
    for ((gpu = 0; gpu < gpus; gpu++)); do
        [ -c "$folder/gpu$gpu" ] || mknod -m 666 "$folder/gpu$gpu" c 1 3
        echo "Name=gpu File=$folder/gpu$gpu" >>"$folder/gres.conf"
    done
    printf 'export SLURM_CONF=%q\n' "$folder/slurm.conf" >"$folder/env.sh"
}

start() {
    local name socket=$folder/munge.socket
    [ "$(id -u)" = 0 ] || fail "has to be run as root"
    for name in munged slurmctld slurmd sbatch; do
        command -v $name >/dev/null || fail "$name is not installed: apt-get install slurmctld slurmd slurm-client munge"
    done
    if runs slurmctld && runs slurmd; then
        echo "runs already: source $folder/env.sh"
        return
    fi
    if [ -L "$folder" ] || { [ -e "$folder" ] && [ ! -O "$folder" ]; }; then
        fail "$folder is somebody else's: name another folder"
    fi
    umask 022
    mkdir -p "$folder"/{log,pids,state,spool}
    chmod 755 "$folder" "$folder"/*/ # munged refuses a socket in a folder that others can write to
    configure
    if [ ! -s "$folder/munge.key" ]; then
        (umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
    fi
    export LOCAL_SLURM=$folder SLURM_CONF=$folder/slurm.conf
    daemon munged munged -F --force --socket="$socket" --key-file="$folder/munge.key" \
        --log-file="$folder/log/munged.log" --pid-file="$folder/munged.pid" \
        --seed-file="$folder/munged.seed"
    wait_for munged munge -n -S "$socket"
    daemon slurmctld slurmctld -D
    wait_for slurmctld scontrol ping
    daemon slurmd slurmd -D -N localhost
    wait_for slurmd idle
    echo "source $folder/env.sh"
}

stop() {
    local name
    export SLURM_CONF=$folder/slurm.conf
    if runs slurmctld; then
        scancel --user "$(id -un)" || true
        for _ in {1..100}; do
            [ -n "$(squeue --noheader --states R,CG 2>/dev/null)" ] || break
            sleep 0.1
        done
    fi
    for name in slurmd slurmctld munged; do
        runs $name || continue
        kill "$(cat "$folder/pids/$name")"
        for _ in {1..100}; do
            runs $name || break
            sleep 0.1
        done
        if runs $name; then kill -9 "$(cat "$folder/pids/$name")"; fi
    done
}

[ $# = 2 ] || fail "usage: local_slurm.sh start|stop FOLDER"
PATH=/usr/sbin:/sbin:$PATH
folder=$(realpath -m "$2")
case $1 in
start | stop) "$1" ;;
*) fail "usage: local_slurm.sh start|stop FOLDER" ;;
esac
