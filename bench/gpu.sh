#!/bin/bash
# Everything there is to measure on a GPU, in one go, into one JSON.
#
#   bench/gpu.sh --program target/release/clinlora --peer peers/hf_peft_lora.py --out gpu.json
#
# The program is built with `cargo build --release --features cuda`; the peer is a program that prints one JSON object a
# run and takes --preset --device --dtype --batch --seq --steps --warmup [--compile], run by a Python with torch, Transformers
# and PEFT. What matters most comes first; when the time is up the rest is left out and said to be. Runs of ours and of the
# peer alternate, each a process of its own, so that neither finds the other's memory or clock.
#
#   --minutes N      time in all [9]                  --python PATH    [python3]
#   --device KIND    cuda or cpu [cuda]               --preset NAME    shape of the model [7b]
#   --batch N        the paper's [10]                 --seq N          tokens a note [128]
#   --best "N N .."  batches to try, from the largest, until one fits for the peer [256 192 128 96 64 32]
#   --steps N        measured steps a run [10]        --endurance N    steps without a NaN or growing memory [2000]
#   --curve NAME     preset of the loss curves [1b]   --keep DIR       leave the parts there
# On a processor all this takes a minute with: --device cpu --preset tiny --curve tiny --batch 3 --seq 16 --best "8 4"
set -uo pipefail

program= peer= out= python=python3 minutes=9 device=cuda preset=7b batch=10 seq=128 best="256 192 128 96 64 32"
steps=10 endurance=2000 curve=1b keep=
while [ $# -gt 0 ]; do
  name=${1#--}
  case $1 in
    --program | --peer | --out | --python | --minutes | --device | --preset | --batch | --seq | --best | --steps | \
      --endurance | --curve | --keep)
      [ $# -gt 1 ] || { echo "$1 needs a value" >&2; exit 2; }
      printf -v "$name" %s "$2"
      shift 2
      ;;
    *) sed -n '2,/^set /p' "$0" | sed '$d; s/^# \?//' >&2; exit 2 ;;
  esac
done
for needed in program peer out; do
  [ -n "${!needed}" ] || { echo "--$needed is missing; see the head of $0" >&2; exit 2; }
done
for file in "$program" "$peer"; do
  [ -f "$file" ] || { echo "$file is not there" >&2; exit 2; }
done
here=$(cd "$(dirname "$0")" && pwd)
parts=${keep:-$(mktemp -d)}
mkdir -p "$parts"
deadline=$((SECONDS + minutes * 60 - 8)) # the end is for putting it together
if [ "$device" = cuda ]; then dtype=bf16 peer_dtype=bfloat16 rows=8192,16384,32768 width=4096 outs=4096,12288,11008,22016
else dtype=f32 peer_dtype=float32 rows=32,128 width=64 outs=64,172; fi

# measure NAME LEAST_SECONDS COMMAND..: one part. Its stdout is NAME.json, what it says NAME.log, how it ended NAME.end.
measure() {
  local name=$1 least=$2 left=$((deadline - SECONDS)) started status
  shift 2
  if [ "$left" -lt "$least" ]; then
    echo "skipped: $left s left, and it takes $least or more" >"$parts/$name.end"
    echo "$name: skipped, $left s left" >&2
    return 99
  fi
  echo "$name: $*" >&2
  started=$SECONDS
  timeout --kill-after=5 "$left" "$@" >"$parts/$name.json" 2>"$parts/$name.log"
  status=$?
  echo "status $status after $((SECONDS - started)) s: $*" >"$parts/$name.end"
  [ "$status" = 0 ] || echo "$name: status $status: $(tail -n 1 "$parts/$name.log" | cut -c 1-300)" >&2
  return "$status"
}
ours() { # NAME LEAST_SECONDS PRESET BATCH [more]
  measure "$1" "$2" "$program" bench train --json --device "$device" --dtype "$dtype" --preset "$3" --batch "$4" \
    --seq "$seq" --steps "$steps" --warmup 3 "${@:5}"
}
theirs() { # NAME LEAST_SECONDS BATCH [more]
  measure "$1" "$2" "$python" "$peer" --preset "$preset" --device "$device" --dtype "$peer_dtype" --batch "$3" \
    --seq "$seq" --steps "$steps" --warmup 3 "${@:4}"
}
finish() {
  "$python" "$here/summary.py" "$parts" "$out" device="$device" preset="$preset" batch="$batch" seq="$seq" \
    minutes="$minutes" program="$program" peer="$peer" || echo "the parts are in $parts" >&2
  [ -n "$keep" ] || rm -rf "$parts"
}
trap finish EXIT

nvidia-smi --query-gpu=name,driver_version,memory.total,clocks.max.sm --format=csv,noheader >"$parts/gpu.txt" 2>/dev/null
"$program" --version >"$parts/version.txt" 2>/dev/null
git -C "$here" rev-parse HEAD >"$parts/commit.txt" 2>/dev/null

if [ "$device" = cuda ] && [ ! -f "${CUDA_PATH:-/usr/local/cuda}/include/crt/mma.h" ]; then
  echo "warning: ${CUDA_PATH:-/usr/local/cuda}/include has no crt/mma.h, which kernels for tensor cores include" >&2
fi

# 1. Are the gradients right? Without that no speed counts. A process compiles its kernels, a second or so each, unless one before
# it has: they are kept in the user's cache folder.
measure gradients 5 "$program" bench gradients --json --device "$device" --methods lora
# 2. The paper's batch, ours and theirs.
ours ours-paper-1 10 "$preset" "$batch"
theirs eager-paper-1 10 "$batch"
# 3. The largest batch that theirs has room for, and ours at the same.
largest=
for try in $best; do
  if theirs "eager-best-1" 10 "$try"; then largest=$try; break; fi
  [ "$?" = 99 ] && break
done
if [ -n "$largest" ]; then
  echo "$largest" >"$parts/largest.txt"
  ours ours-best-1 10 "$preset" "$largest"
fi
# 4. The loss curves from one beginning.
curve_folder=$parts/curve-folder
if measure curve-ours 5 "$program" bench curve --json --device "$device" --dtype "$dtype" --preset "$curve" --batch 8 \
  --seq "$seq" --steps 20 --out "$curve_folder"; then
  measure curve 5 "$python" "$here/curve.py" "$curve_folder" --device "$device" --dtype "$peer_dtype"
fi
# 5. The device's own rate at the model's shapes.
measure matmul 5 "$program" bench matmul --json --device "$device" --dtype "$dtype" --rows "$rows" --width "$width" --outs "$outs"
# 6. Theirs compiled.
theirs compiled-paper-1 20 "$batch" --compile
[ -z "$largest" ] || theirs compiled-best-1 20 "$largest" --compile
# 7. No room: the message, by arithmetic.
measure out-of-memory 5 "$program" bench train --json --device "$device" --dtype "$dtype" --preset "$preset" \
  --batch 4000000 --seq "$seq" --steps 1 --warmup 0 --anatomy 0
# 8. Hours of steps, in short: every loss a number, and memory where it was.
small=15m
[ "$preset" = tiny ] && small=tiny
measure endurance 10 "$program" bench train --json --device "$device" --dtype "$dtype" --preset "$small" --batch 8 \
  --seq "$seq" --steps "$endurance" --warmup 50 --anatomy 0
# 9. What bf16 costs in perplexity: one base, and the same adapter trained on it in both formats, on synthetic notes.
recipes=$here/../trainer/recipes/demo
if measure cohort 5 "$program" cohort --patients 150 --seed 7 --out "$parts/cohort" &&
  measure notes 2 "$program" prepare notes --mimic4-note "$parts/cohort/mimic-iv-note" --out "$parts/notes"; then
  data=("data.train=$parts/notes/train.jsonl" "data.valid=$parts/notes/valid.jsonl" max_tokens=64 training.epochs=1)
  if measure perplexity-base 5 "$program" pretrain "$recipes/base.toml" --json --device "$device" "${data[@]}" "out=$parts/base"; then
    for format in f32 bf16; do
      measure "perplexity-$format" 5 "$program" pretrain "$recipes/clinical.toml" --json --device "$device" "${data[@]}" \
        "base.path=$parts/base" "dtype=$format" "out=$parts/run-$format"
    done
  fi
fi
# 10. The gradients of the other methods.
measure gradients-others 30 "$program" bench gradients --json --device "$device" \
  --methods adaption-prompt,prefix,prompt,p-tuning,full
# 11. The same again, in turn, for medians of more than one process.
for round in 2 3 4 5; do
  ours "ours-paper-$round" 20 "$preset" "$batch" --anatomy 0 || break
  theirs "eager-paper-$round" 20 "$batch" || break
  [ -z "$largest" ] && continue
  ours "ours-best-$round" 20 "$preset" "$largest" --anatomy 0 || break
  theirs "eager-best-$round" 20 "$largest" || break
  [ "$device" = cpu ] && [ "$round" = 2 ] && break
done
exit 0
