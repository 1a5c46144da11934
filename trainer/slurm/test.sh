#!/bin/bash
# The job script against an `srun` and an `scontrol` that only write down how they were called.
#
#   trainer/slurm/test.sh
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir bin
cat >bin/srun <<'FAKE'
#!/bin/bash
echo "srun $*" >>calls
exit "$(cat status)"
FAKE
cat >bin/scontrol <<'FAKE'
#!/bin/bash
echo "scontrol $*" >>calls
FAKE
chmod +x bin/*
export PATH="$work/bin:$PATH" SLURM_JOB_ID=41 CLINLORA=/opt/clinlora
printf 'out = "runs/a"\nmax_tokens = 128\n' >recipe.toml

# job STATUS_OF_SRUN EXPECTED_STATUS ARGUMENTS..: runs the script; leaves `calls` and `said`.
job() {
  local expected=$2 status=0
  echo "$1" >status
  : >calls
  shift 2
  bash "$here/train.sbatch" "$@" >said 2>&1 || status=$?
  [ "$status" = "$expected" ] || { echo "ended with $status, not $expected: $*"; cat said; exit 1; }
}
has() { grep -qF -- "$2" "$1" || { echo "no '$2' in $1:"; cat "$1"; exit 1; }; }
lacks() { ! grep -qF -- "$2" "$1" || { echo "'$2' in $1:"; cat "$1"; exit 1; }; }

job 0 0 pretrain recipe.toml training.epochs=2
has calls "srun --kill-on-bad-exit=1 --mpi=pmix /opt/clinlora pretrain recipe.toml training.epochs=2 --device cuda"
lacks calls --resume
lacks calls scontrol

mkdir -p runs/a && touch runs/a/recipe.toml # as an earlier start leaves it
job 143 0 pretrain recipe.toml
has calls --resume
has calls "scontrol requeue 41"

job 143 0 pretrain recipe.toml out=runs/b # another folder: a new run
lacks calls --resume

job 1 1 finetune recipe.toml
lacks calls scontrol

SLURM_RESTART_COUNT=50 job 143 143 pretrain recipe.toml
lacks calls scontrol
has said "requeued 50 times"

echo 'max_tokens = 128' >bare.toml
job 0 2 pretrain bare.toml
lacks calls srun
job 0 2 pretrain
echo "trainer/slurm: all as it should be"
