"""The job scripts of slurm/ on a real Slurm of two nodes, both this machine (`make slurm-test`).

Starts munged, slurmctld and one slurmd per node in a temporary folder, as root, without touching a Slurm
that may be installed for use. Then, with slurm/cpu.sbatch on both nodes:

1. a run that nothing disturbs;
2. a run that nears its time limit (stops after a checkpoint, goes back into the queue, starts by itself), and
   then loses a node (processes killed, node marked down; Slurm puts it back into the queue);

and the weights of both must be equal, bit for bit.

Needs Debian's or Ubuntu's slurm-wlm and munge: apt-get install slurm-wlm munge.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scontrol", "squeue")
CONF = """
ClusterName=sslhsi-test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2
ReturnToService=2
JobRequeue=1
KillWait=10
MpiDefault=none
NodeName=n1 NodeAddr=127.0.0.1 NodeHostname=localhost Port=17001 CPUs=2 RealMemory=2000
NodeName=n2 NodeAddr=127.0.0.1 NodeHostname=localhost Port=17002 CPUs=2 RealMemory=2000
PartitionName=cpu Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""
RECIPE = """
name: slurm
corpus:
  scenes:
    - {{simulated: paper, index: 0, size: [40, 40]}}
    - {{simulated: grapes, index: 0, size: [40, 40]}}
  cache: {folder}/corpora
  bands: {{grid: 16, components: 4, align: index}}
  patches: {{window: 8, stride: 4, min_foreground: 0}}
backbone: {{name: pixelnet, options: {{width: 8, depth: 1, mixed: 8, radii: [0, 3]}}}}
method: {{options: {{hidden: 16, output: 8}}}}
training: {{steps: {steps}, batch_size: 8, checkpoint_every: 50, log_every: 1, monitor_every: 0}}
evaluation: {{tasks: []}}
"""


ENDED = ("COMPLETED", "FAILED", "TIMEOUT", "CANCELLED", "NODE_FAIL")


class Cluster:
    """Two nodes on this machine."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}
        (folder / "slurm.conf").write_text(CONF.format(folder=folder))
        self.env = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "MASTER_ADDR": "127.0.0.1"}
        self.env |= {"PYTHON": sys.executable}
        for name in ("state", "spool-n1", "spool-n2"):
            (folder / name).mkdir()

    def start(self) -> None:
        munge, user = self.folder / "munge", pwd.getpwnam("munge")
        munge.mkdir(mode=0o755)
        (munge / "key").write_bytes(os.urandom(1024))
        (munge / "key").chmod(0o400)
        for path in (munge, munge / "key"):
            os.chown(path, user.pw_uid, user.pw_gid)
        options = [f"--{key}={munge / key}" for key in ("socket",)] + [f"--key-file={munge / 'key'}"]
        options += [f"--pid-file={munge / 'pid'}", f"--log-file={munge / 'log'}", f"--seed-file={munge / 'seed'}"]
        # munged refuses to run as root with files of its user, and the other way round.
        own = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        self.daemon("munged", [*own, "munged", "--foreground", "--force", *options])
        wait_until(lambda: (munge / "socket").exists(), 20, "munged gave no socket")
        self.daemon("slurmctld", ["slurmctld", "-D", "-i", "-f", str(self.folder / "slurm.conf")])
        for node in ("n1", "n2"):
            self.daemon(node, ["slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf")])
        wait_until(lambda: self.ask("sinfo", "-h", "-N", "-o", "%t").split() == ["idle"] * 2, 60, "no idle nodes")

    def daemon(self, name: str, command: list[str]) -> None:
        log = (self.folder / f"{name}.out").open("ab")
        self.daemons[name] = subprocess.Popen(
            command, env=self.env, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, cwd=ROOT)
        return done.stdout if not done.returncode else done.stdout + done.stderr

    def submit(self, name: str, *more: str) -> str:
        """Job number of a run on both nodes, one process on each."""
        command = ["sbatch", "--parsable", "--nodes=2", "--ntasks-per-node=1", "--cpus-per-task=1"]
        command += [f"--output={self.folder / name}.log", *more, "slurm/cpu.sbatch"]
        return self.ask(*command, str(self.folder / "recipe.yaml"), f"output={self.folder / name}").strip()

    def facts(self, job: str) -> dict[str, str]:
        words = self.ask("scontrol", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def state(self, job: str) -> str:
        return self.facts(job).get("JobState", "GONE")

    def minutes(self, job: str) -> int:
        """Whole minutes that a job has run."""
        hours, minutes, _ = self.facts(job)["RunTime"].split(":")
        return 60 * int(hours) + int(minutes)

    def stop(self) -> None:
        for job in self.ask("squeue", "-h", "-o", "%i").split():
            self.ask("scancel", job)
        end = time.monotonic() + 40
        while self.ask("squeue", "-h").strip() and time.monotonic() < end:
            time.sleep(0.5)
        for process in reversed(self.daemons.values()):
            process.terminate()
        for process in self.daemons.values():
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def wait_until(true: Callable[[], bool], seconds: float, problem: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"slurm-test: {problem} within {seconds} s")
        time.sleep(0.2)


def steps_done(run: Path) -> int:
    table = run / "metrics.csv"
    return table.read_text().count("\n") - 1 if table.exists() else 0


def trainers(run: Path) -> list[int]:
    """Processes of a run, by what their command lines say."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if b"sslhsi/pretrain.py" in words and f"output={run}".encode() in words:
                found.append(int(entry.name))
    return found


def node_of(pid: int) -> str:
    """Node that a task runs on, as Slurm names it."""
    words = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next((w.partition(b"=")[2].decode() for w in words if w.startswith(b"SLURMD_NODENAME=")), "")


def disturbed_run(cluster: Cluster, folder: Path) -> None:
    """A run that meets its time limit, then loses a node, and ends all the same."""
    run = folder / "disturbed"
    job = cluster.submit("disturbed", "--time=60", "--signal=B:USR1@120")
    wait_until(lambda: steps_done(run) > 20, 900, "the second run made no steps")
    # Less is now left than the signal's two minutes; Slurm looks at limits twice a minute.
    limit = cluster.minutes(job) + 2
    cluster.ask("scontrol", "update", f"JobId={job}", f"TimeLimit={limit}")
    log = folder / "disturbed.log"
    wait_until(lambda: "back into the queue" in log.read_text(), 200, "no requeue before the limit")
    kept = max(int(path.name[5:]) for path in run.glob("step_*"))
    print(f"time limit: stopped with a checkpoint at step {kept}, and is in the queue again")
    assert kept == steps_done(run)
    # Slurm holds a requeued job back for two minutes; a test need not wait. The limit is lifted, too.
    wait_until(lambda: cluster.state(job) == "PENDING", 60, "the job is not pending")
    cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now", "TimeLimit=60")
    wait_until(lambda: steps_done(run) > kept + 20, 900, "the job did not go on")
    print(f"started again by itself, at step {steps_done(run)}")
    lose_a_node(cluster, folder, run, job)


def lose_a_node(cluster: Cluster, folder: Path, run: Path, job: str) -> None:
    """A power cut at n2: its daemon, the keeper of its task, and the task. What they had on disk is gone, too."""
    victims = {node_of(pid): pid for pid in trainers(run)}
    assert set(victims) == {"n1", "n2"}, victims
    keeper = int(Path(f"/proc/{victims['n2']}/stat").read_text().rpartition(")")[2].split()[1])
    cluster.daemons["n2"].send_signal(signal.SIGKILL)
    cluster.daemons["n2"].wait()
    for pid in (keeper, victims["n2"]):
        os.kill(pid, signal.SIGKILL)
    shutil.rmtree(folder / "spool-n2")
    (folder / "spool-n2").mkdir()
    cluster.ask("scontrol", "update", "NodeName=n2", "State=DOWN", "Reason=test")
    wait_until(lambda: cluster.state(job) == "PENDING", 120, "no requeue after the node failed")
    print("node failure: the job is in the queue again")
    wait_until(lambda: not trainers(run), 60, "a process outlived its node")
    cluster.daemon("n2", ["slurmd", "-D", "-c", "-b", "-N", "n2", "-f", str(folder / "slurm.conf")])
    cluster.ask("scontrol", "update", "NodeName=n2", "State=RESUME")
    cluster.ask("scontrol", "update", f"JobId={job}", "StartTime=now")
    wait_until(lambda: cluster.state(job) in ENDED, 1800, "the second run never ended")
    assert cluster.state(job) == "COMPLETED", (folder / "disturbed.log").read_text()


def main() -> int:
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        print(f"slurm-test: {', '.join(missing)} not found; apt-get install slurm-wlm munge")
        return 2
    if os.geteuid():
        print("slurm-test: start it as root: munged and slurmd ask for it")
        return 2
    # So that whatever ends this program ends its daemons, too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)
    (folder / "recipe.yaml").write_text(RECIPE.format(folder=folder, steps=int(os.environ.get("STEPS", "1500"))))
    cluster = Cluster(folder)
    try:
        cluster.start()
        print("two nodes are up")
        undisturbed = cluster.submit("undisturbed")
        wait_until(lambda: cluster.state(undisturbed) in ENDED, 1800, "the first run never ended")
        assert cluster.state(undisturbed) == "COMPLETED", (folder / "undisturbed.log").read_text()
        print(f"undisturbed run: {steps_done(folder / 'undisturbed')} steps on two nodes")

        disturbed_run(cluster, folder)
        first, second = (
            load_file(folder / n / "backbone" / "model.safetensors") for n in ("undisturbed", "disturbed")
        )
        for name, value in first.items():
            np.testing.assert_array_equal(second[name], value)
        print("slurm-test: the same weights, bit for bit")
    except BaseException:
        for log in sorted(folder.glob("*.log")):
            print(f"--- {log.name}\n{log.read_text()[-3000:]}", file=sys.stderr)
        raise
    finally:
        cluster.stop()
        if "KEEP" not in os.environ:
            shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
