"""Kills one of several processes that train together at random moments; says when the others ended, and what came of the run.

The moments are spread over the whole life of an uninterrupted training, from before the processes meet to the writing of the last
files. After each kill the same command is given again, and its weights are compared with those of the uninterrupted training; the
last two times the run goes on in one process and in four.

    KERAS_BACKEND=jax python tests/benchmarks/random_kills.py --kills 10
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.training.distributed_runs import distance, experiment  # noqa: E402


def start(config: Path, run: Path, processes: int, log: Path) -> subprocess.Popen:
    """The launcher, and what it and its processes say in the log."""
    train = ["train", str(config), "--run-dir", str(run)]
    command = [sys.executable, "-m", "nlp_suite", "launch", "--processes", str(processes), "--", *train]
    with log.open("w") as file:
        return subprocess.Popen(command, cwd=ROOT, stdout=file, stderr=file)


def children(launcher: subprocess.Popen, processes: int) -> list[int]:
    """The processes that it started, once all are there."""
    file = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children")
    while launcher.poll() is None and len(found := file.read_text().split()) < processes:
        time.sleep(0.01)
    return [int(pid) for pid in found]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def kill_one(config: Path, run: Path, moment: float, victim: int, log: Path) -> str:
    """Kills a process so many seconds after its start; what there is to say of the other one."""
    launcher = start(config, run, 2, log)
    pids = children(launcher, 2)
    time.sleep(moment)
    if not is_alive(pids[victim]):
        return f"had ended before, {launcher.wait()}"
    os.kill(pids[victim], signal.SIGKILL)
    began = time.monotonic()
    while is_alive(pids[1 - victim]):
        time.sleep(0.01)
    seconds, code = time.monotonic() - began, launcher.wait()
    said = [line for line in log.read_text().splitlines() if line.startswith("error")]
    return f"the other ended after {seconds:.1f} s, launch with {code}: {' | '.join(said)}"


def main(kills: int, seed: int, folder: Path) -> None:
    draw, config = random.Random(seed), folder / "config.yaml"

    def fresh(name: str) -> Path:
        """Where a run goes, whose data nothing has prepared."""
        (folder / name).mkdir()
        config.write_text(experiment("sentiment", folder / name, distribution="data_parallel").to_yaml())
        return folder / name / "run"

    whole, began = fresh("whole"), time.monotonic()
    if start(config, whole, 2, folder / "whole.log").wait():
        raise SystemExit((folder / "whole.log").read_text()[-4000:])
    life = time.monotonic() - began
    print(f"uninterrupted: {life:.1f} s", flush=True)
    for number in range(kills):
        run, moment, victim = fresh(str(number)), life * (number + draw.random()) / kills, draw.randrange(2)
        found = kill_one(config, run, moment, victim, folder / f"{number}.killed")
        processes = {kills - 2: 1, kills - 1: 4}.get(number, 2)
        log = folder / f"{number}.log"
        code = start(config, run, processes, log).wait()
        apart = f"{distance(whole, run):.1e}" if code == 0 else log.read_text()[-2000:]
        on = [line for line in log.read_text().splitlines() if line.startswith("continuing") or "is finished" in line]
        print(f"process {victim} killed at {moment:.1f} s: {found}", flush=True)
        print(
            f"    goes on in {processes}: exit code {code}, {on or 'from the start'}, weights {apart} apart", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        main(options.kills, options.seed, Path(directory))
