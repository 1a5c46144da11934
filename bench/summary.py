#!/usr/bin/env python3
"""Puts the parts of `bench/gpu.sh` together: medians and spreads over processes, ratios, what agrees and what was left out.

  python summary.py PARTS OUT [key=value ..]
"""
import json
import math
import pathlib
import platform
import statistics
import sys
import time


def read(path):
    """The last line of a part that is JSON, if it has one."""
    try:
        for line in reversed(path.read_text().splitlines()):
            if line.startswith("{"):
                return json.loads(line)
    except (OSError, ValueError):
        pass
    return None


def text(path):
    return path.read_text().strip() if path.exists() else None


def over(runs):
    """Of processes that measured the same."""
    if not runs:
        return None
    speeds = [run["tokens_per_s"] for run in runs]
    first = runs[0]
    result = dict(runs=len(runs), batch=first["batch"], seq=first["seq"], tokens_per_s=statistics.median(speeds),
                  tokens_per_s_least=min(speeds), tokens_per_s_most=max(speeds),
                  step_s=[run["step_s_median"] for run in runs],
                  peak_gib=max((run["peak_gib"] for run in runs if run.get("peak_gib")), default=None))
    for key in ("tflops", "grad_norm", "share_of_floor", "share_of_peak", "matmul_tflops", "planned_gib", "idle_share",
                "warmup_s", "products", "compile", "torch"):
        if key in first:
            result[key] = first[key]
    anatomy = next((run["anatomy"] for run in runs if run.get("anatomy")), None)
    if anatomy:
        result["anatomy"] = anatomy
    return result


def main():
    parts, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    settings = dict(argument.split("=", 1) for argument in sys.argv[3:])

    def runs(name):
        found = sorted(parts.glob(f"{name}-[0-9].json"))
        return [run for run in map(read, found) if run and "tokens_per_s" in run]

    result = dict(settings=settings, time=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), host=platform.machine(),
                  gpu=text(parts / "gpu.txt"), program=text(parts / "version.txt"), commit=text(parts / "commit.txt"))
    for size in ("paper", "best"):
        sides = {side: over(runs(f"{side}-{size}")) for side in ("ours", "eager", "compiled")}
        peers = [side["tokens_per_s"] for side in (sides["eager"], sides["compiled"]) if side]
        if sides["ours"] and peers:
            sides["ratio_to_faster_peer"] = sides["ours"]["tokens_per_s"] / max(peers)
            memory = [side["peak_gib"] for side in (sides["ours"], sides["eager"]) if side]
            if all(memory) and len(memory) == 2:
                sides["memory_ratio"] = memory[0] / memory[1]
        result[size] = sides
    gradients = [found for name in ("gradients", "gradients-others") if (found := read(parts / f"{name}.json"))]
    result["gradients"] = gradients and dict(cases=[case for found in gradients for case in found["cases"]],
                                             agrees=all(found["agrees"] for found in gradients))
    result["matmul"] = read(parts / "matmul.json")
    result["curve"] = read(parts / "curve.json")

    endurance = read(parts / "endurance.json")
    if endurance:
        before, after = endurance["held_gib"]
        grown = after / before - 1 if before and after else None
        result["endurance"] = dict(steps=endurance["steps"], is_finite=endurance["is_finite"], held_gib=[before, after],
                                   grown=grown, holds=endurance["is_finite"] and (grown is None or grown <= 0.05))
    end = text(parts / "out-of-memory.end") or ""
    if end.startswith("status"):
        said = (text(parts / "out-of-memory.log") or "").splitlines()
        said = next((line for line in reversed(said) if "out of device memory" in line), None)
        result["out_of_memory"] = dict(status=int(end.split()[1]), said=said,
                                       holds=end.startswith("status 2 ") and said is not None)
    perplexity = {}
    for dtype in ("f32", "bf16"):
        run = read(parts / f"perplexity-{dtype}.json")
        if run and run.get("valid"):
            perplexity[dtype] = math.exp(run["valid"]["loss"])
    if len(perplexity) == 2:
        perplexity["apart"] = abs(perplexity["bf16"] / perplexity["f32"] - 1)
        perplexity["agrees"] = perplexity["apart"] <= 0.005
    result["perplexity"] = perplexity or None
    result["ends"] = {path.stem: text(path) for path in sorted(parts.glob("*.end"))}
    result["left_out"] = [name for name, how in result["ends"].items() if how.startswith("skipped")]
    out.write_text(json.dumps(result, indent=1) + "\n")

    for size in ("paper", "best"):
        for side in ("ours", "eager", "compiled"):
            run = result[size][side]
            if run:
                print(f"{size:5} {side:8} batch {run['batch']:4} x {run['seq']}: {run['tokens_per_s']:10.1f} tokens/s "
                      f"({run['tokens_per_s_least']:.1f} to {run['tokens_per_s_most']:.1f}, {run['runs']} runs), "
                      f"peak {run['peak_gib']} GiB", file=sys.stderr)
    checks = dict(gradients=(result["gradients"] or {}).get("agrees"), curve=(result["curve"] or {}).get("agrees"),
                  endurance=(result.get("endurance") or {}).get("holds"),
                  out_of_memory=(result.get("out_of_memory") or {}).get("holds"),
                  perplexity=(result["perplexity"] or {}).get("agrees"))
    print("checks:", json.dumps(checks), "left out:", result["left_out"], file=sys.stderr)


main()
